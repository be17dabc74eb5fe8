import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { KV_DTYPES } from '../engine/attention/paged-attention.js';
import { modelCacheDir } from '../engine/environment/model-cache-dir.js';
import { exactWeightBits } from '../engine/importer/quantize/exact-weight-bits.js';
import type { QuantizedKind } from '../engine/importer/quantize/quantization.js';
import type { EngineOptions } from '../engine/protocol/options.js';
import { PLAIN_REQUEST } from '../engine/protocol/request.js';
import { GREEDY } from '../engine/sampling/sampling-params.js';
import type { TemplateMessage } from '../engine/text/chat-template.js';
import { loadServedModel } from '../engine/text/served-model.js';
import { type LoadedEngine, loadEngine } from '../engine/thread/load-engine.js';
import type { SequenceId, TokenId } from '../scheduler/ids.js';
import { BENCH_OPTIONS, BLOCK_SIZE } from './lib/bench-engine.js';
import { perplexity, type ScoredText } from './lib/perplexity.js';
import { type QualityReport, withQualityTable } from './lib/quality-table.js';
import { type Cell, publish } from './lib/report.js';

// The effect of quantized weights and small pages on quality, with the embedded model: held-out
// questions with one right answer, and the perplexity of held-out text.
// models/octavo-tiny/training/quality_samples.py generates both, and calibration_samples.py other
// texts, by which weights are rounded.

interface Sample {
  readonly task: string;
  readonly messages: readonly TemplateMessage[];
  readonly tools?: readonly object[];
  readonly expected: string;
}

interface Fixture {
  readonly samples: readonly Sample[];
  readonly stories: readonly string[];
}

const path = (relative: string): string => fileURLToPath(new URL(relative, import.meta.url));
const { samples, stories } = JSON.parse(
  readFileSync(path('./fixtures/octavo-tiny-quality.json'), 'utf8'),
) as Fixture;
const modelDir = path('../models/octavo-tiny');
const { tokenizer, chatTemplate, eosTokenIds } = await loadServedModel(modelDir, []);
const [end] = eosTokenIds;
const encode = (text: string): TokenId[] => tokenizer.encode(text, { addSpecialTokens: false });

const questions = samples.map(({ task, messages, tools = null, expected }) => ({
  task,
  prompt: encode(chatTemplate?.render(messages, { tools }) ?? ''),
  answer: encode(expected),
  expected,
}));
// Without the longest: they would take most of the time, and their answers are four digits.
const answers: ScoredText[] = questions
  .filter(({ prompt }) => prompt.length <= 256)
  .map(({ prompt, answer }) => ({ tokens: [...prompt, ...answer, end], from: prompt.length }));
const begin = tokenizer.encode('', { addSpecialTokens: true });
const told: ScoredText[] = stories.map((story) => ({
  tokens: [...(begin.length > 0 ? begin : [1 as TokenId]), ...encode(story), end],
  from: 1,
}));

const OPTIONS: EngineOptions = {
  ...BENCH_OPTIONS,
  modelDir,
  maxNumSeqs: 32,
  kvCacheBytes: 192 * 2 ** 20,
  kvDtype: 'f32',
  maxModelLength: null,
  enablePrefixCaching: false,
};

interface Result {
  readonly name: string;
  /** Percent of each task's answers that are exactly right. */
  readonly accuracy: ReadonlyMap<string, number>;
  readonly all: number;
  readonly answers: number;
  readonly stories: number;
}

async function measure(name: string, options: Partial<EngineOptions>): Promise<Result> {
  process.stderr.write(`${name} ...\n`);
  const engine = await loadEngine({ ...OPTIONS, ...options });
  const { runner, info } = engine;
  try {
    const right = await answerAll(engine);
    const accuracy = new Map(
      [...new Set(questions.map(({ task }) => task))].map((task) => {
        const own = right.filter((_, i) => questions[i].task === task);
        return [task, (100 * own.filter(Boolean).length) / own.length];
      }),
    );
    return {
      name,
      accuracy,
      all: (100 * right.filter(Boolean).length) / right.length,
      answers: await perplexity(runner, info.vocabSize, BLOCK_SIZE, answers),
      stories: await perplexity(runner, info.vocabSize, BLOCK_SIZE, told),
    };
  } finally {
    await runner.dispose();
  }
}

/** Greedy answers to all questions: which are exactly right. */
async function answerAll({ core }: LoadedEngine): Promise<boolean[]> {
  const texts = questions.map((): TokenId[] => []);
  questions.forEach(({ prompt }, i) => {
    core.add({
      ids: [`${i}` as SequenceId],
      promptTokenIds: prompt,
      maxTokens: 120,
      stopTokenIds: eosTokenIds,
      sampling: GREEDY,
      ...PLAIN_REQUEST,
    });
  });
  while (core.hasWork) {
    for (const { id, tokenIds } of (await core.step()) ?? []) {
      texts[Number(id)].push(...tokenIds);
    }
  }
  return texts.map((ids, i) => {
    const text = tokenizer.decode(
      ids.filter((id) => id !== end),
      { skipSpecialTokens: false },
    );
    return text === questions[i].expected;
  });
}

const cacheDir = modelCacheDir(undefined, process.env);
const as = (kind: QuantizedKind, calibrate?: string): Partial<EngineOptions> => ({
  quantize: { kind, nbits: false, cacheDir, ...(calibrate !== undefined && { calibrate }) },
});
const results: Result[] = [];
for (const kvDtype of KV_DTYPES) {
  results.push(await measure(`none, ${kvDtype}`, { kvDtype }));
  results.push(await measure(`w8a8, ${kvDtype}`, { ...as('w8a8'), kvDtype }));
}
for (const kind of ['q8', 'q4'] as const) {
  const weights = { ...as(kind), kvDtype: 'f32' } as const;
  results.push(await measure(`${kind}, f32`, weights));
  results.push(await measure(`${kind} x int8, f32`, { ...weights, activations: 'int8' }));
}
const calibrated = { ...as('q4', path('./fixtures/octavo-tiny-calibration.jsonl')) };
results.push(await measure('q4 calibrated, f32', { ...calibrated, kvDtype: 'f32' }));
const [exact] = results;
const change = (value: number, base: number): string => {
  const percent = 100 * (value / base - 1);
  return `${percent < 0 ? '' : '+'}${percent.toFixed(2)} %`;
};

function accuracyRow(task: string): Cell[] {
  const asked = questions.filter((question) => task === 'all' || question.task === task);
  const cells = results.map(({ accuracy, all }) => (accuracy.get(task) ?? all).toFixed(1));
  return [task, asked.length, ...cells];
}

// On CPUs whose sums of 8-bit products saturate, weights have one bit less: another measurement,
// beside the first.
const bits = await exactWeightBits();
publish({
  name: bits === 8 ? 'quality' : `quality-${bits}-bit`,
  command: 'npm run bench:quality',
  about:
    `octavo-tiny, ${questions.length} held-out questions, answered greedily: percent of answers that are exactly right; and perplexity of those ` +
    `answers and of ${stories.length} held-out stories. Columns: weights (w8a8 of ${bits} bits), pages. Differences are against float32 weights and pages.`,
  tables: [
    {
      title: 'Accuracy',
      columns: ['task', 'samples', ...results.map(({ name }) => name)],
      rows: [...exact.accuracy.keys(), 'all'].map(accuracyRow),
    },
    {
      title: 'Against float32',
      columns: [
        'weights, pages',
        'accuracy',
        'points',
        'perplexity of answers',
        '',
        'perplexity of stories',
        '',
      ],
      rows: results.map((result): Cell[] => [
        result.name,
        result.all.toFixed(1),
        (result.all - exact.all).toFixed(2),
        result.answers.toFixed(4),
        change(result.answers, exact.answers),
        result.stories.toFixed(4),
        change(result.stories, exact.stories),
      ]),
    },
  ],
});
if (bits === 8) {
  const page = path('../docs/quantization.md');
  const report = JSON.parse(readFileSync(path('./results/quality.json'), 'utf8')) as QualityReport;
  writeFileSync(page, withQualityTable(readFileSync(page, 'utf8'), report));
}
