import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { EngineOptions } from '../engine/protocol/options.js';
import { loadServedModel } from '../engine/text/served-model.js';
import { loadEngine } from '../engine/thread/load-engine.js';
import { BENCH_OPTIONS, BLOCK_SIZE, oneOf } from './lib/bench-engine.js';
import { promptPerplexity } from './lib/perplexity.js';
import { type Cell, commandLine, publish, type Report } from './lib/report.js';
import type { RoundingCost, RoundingJob } from './lib/rounding-process.js';
import { ensureCheckpoint } from './models/random-checkpoint.js';
import { ensureTokenizer } from './models/tokenizer.js';
import { trainedModel } from './models/trained-model.js';
import { ensureWidened } from './models/widened-gguf.js';

// What `--quantize q4 --calibrate` gains on a trained model, SmolLM2-135M-Instruct, and what it
// costs a model of 8 billion weights: memory, and time for each layer. Two layers stand for 32:
// memory holds a part of one, whatever their number is.
//
//     npm run bench:calibrate -- [smollm2 | llama-8b]

const LIMIT_GB = 1.5;
const LAYERS = 2;

/** Llama 3.1 8B, but for the number of its layers. */
const CONFIG = {
  architectures: ['LlamaForCausalLM'],
  model_type: 'llama',
  vocab_size: 128_256,
  hidden_size: 4096,
  intermediate_size: 14_336,
  num_hidden_layers: LAYERS,
  num_attention_heads: 32,
  num_key_value_heads: 8,
  head_dim: 128,
  max_position_embeddings: 131_072,
  rope_theta: 500_000,
  rms_norm_eps: 1e-5,
  tie_word_embeddings: false,
};

type Table = Report['tables'][number];

const read = (path: string): string => readFileSync(new URL(path, import.meta.url), 'utf8');
const SCRIPT = fileURLToPath(new URL('./lib/rounding-process.ts', import.meta.url));
/** Texts that weights are rounded by. */
const TEXTS = './fixtures/octavo-tiny-calibration.jsonl';
const cacheDir = mkdtempSync(join(tmpdir(), 'octavo-bench-calibrate-'));

function round(modelDir: string, texts: string | null): RoundingCost {
  const job: RoundingJob = { modelDir, texts, cacheDir };
  const args = ['--import', 'tsx', SCRIPT, JSON.stringify(job)];
  const stdio: ('ignore' | 'pipe' | 'inherit')[] = ['ignore', 'pipe', 'inherit'];
  return JSON.parse(
    execFileSync(process.execPath, args, { encoding: 'utf8', stdio }),
  ) as RoundingCost;
}

/** Stories like those among the texts, and pages of a kind that they have nothing of. */
const KINDS: Readonly<Record<string, readonly string[]>> = {
  stories: (JSON.parse(read('./fixtures/octavo-tiny-quality.json')) as { stories: string[] })
    .stories,
  documentation: read('../docs/attention.md')
    .split('\n\n')
    .filter((paragraph) => paragraph.length > 200)
    .slice(0, 40),
};

/** Perplexity of each kind of texts. */
async function perplexities(
  modelDir: string,
  quantize?: EngineOptions['quantize'],
): Promise<number[]> {
  const { tokenizer } = await loadServedModel(modelDir, []);
  const { runner } = await loadEngine({
    ...BENCH_OPTIONS,
    modelDir,
    maxNumSeqs: 32,
    kvCacheBytes: 2 ** 30,
    maxModelLength: 512,
    enablePrefixCaching: false,
    ...(quantize && { quantize, activations: 'int8' }),
  });
  try {
    const all: number[] = [];
    for (const texts of Object.values(KINDS)) {
      const tokens = texts.map((text) =>
        tokenizer.encode(text, { addSpecialTokens: true }).slice(0, 512),
      );
      all.push(await promptPerplexity(runner, BLOCK_SIZE, tokens));
    }
    return all;
  } finally {
    await runner.dispose();
  }
}

async function trained(): Promise<Table> {
  const { file, absent } = await trainedModel();
  if (absent !== undefined) throw new Error(absent);
  const modelDir = ensureWidened(file);
  process.stderr.write('float32 ...\n');
  const exact = await perplexities(modelDir);
  const rows: Cell[][] = [['float32', ...exact.flatMap((value) => [value, '']), '', '', '']];
  for (const calibrate of [null, fileURLToPath(new URL(TEXTS, import.meta.url))]) {
    const name = calibrate === null ? 'q4' : 'q4, calibrated';
    process.stderr.write(`${name} ...\n`);
    const { seconds, processorSeconds, peak } = round(modelDir, calibrate);
    const quantize = { kind: 'q4', nbits: false, cacheDir } as const;
    const own = await perplexities(
      modelDir,
      calibrate === null ? quantize : { ...quantize, calibrate },
    );
    const cells = own.flatMap((value, i) => [value, change(value, exact[i])]);
    rows.push([name, ...cells, seconds, processorSeconds, peak / 1e9]);
  }
  return {
    title: 'SmolLM2-135M-Instruct: perplexity',
    columns: [
      'weights',
      ...Object.keys(KINDS).flatMap((kind) => [kind, '']),
      'seconds to round',
      'of processors',
      'GB of memory above',
    ],
    rows,
  };
}

function change(value: number, base: number): string {
  const percent = 100 * (value / base - 1);
  return `${percent < 0 ? '' : '+'}${percent.toFixed(2)} %`;
}

function large(): Table {
  const directory = ensureCheckpoint('llama-3.1-8b-2-layers', CONFIG, 'BF16');
  ensureTokenizer(directory, CONFIG.vocab_size);
  const texts = join(cacheDir, 'texts.txt');
  writeFileSync(texts, plainTexts().join('\n'));
  const { seconds, processorSeconds, untilFirst, peak, own } = round(directory, texts);
  if (peak / 1e9 > LIMIT_GB) process.exitCode = 1;
  return {
    title: `${LAYERS} layers and the LM head of Llama 3.1 8B, random weights in bfloat16`,
    columns: [
      'seconds',
      'of processors',
      'until the first weight is rounded',
      'GB of memory above',
      'of which no mapped file',
    ],
    rows: [[seconds, processorSeconds, untilFirst, peak / 1e9, own / 1e9]],
  };
}

/** What the embedded model's conversations say, each in a line: this model has no chat template. */
function plainTexts(): string[] {
  return read(TEXTS)
    .trim()
    .split('\n')
    .map((line) => {
      const { messages = [], text = '' } = JSON.parse(line) as {
        messages?: { content?: string | null }[];
        text?: string;
      };
      const said = messages.map(({ content }) => content ?? '').join(' ');
      return (text + said).replaceAll(/\s+/g, ' ');
    })
    .filter((line) => line !== '');
}

const PARTS = { smollm2: trained, 'llama-8b': large };
const NAMES = Object.keys(PARTS) as (keyof typeof PARTS)[];
const [chosen] = process.argv.slice(2);
const names = chosen === undefined ? NAMES : [oneOf('model', chosen, NAMES)];
try {
  const tables: Table[] = [];
  for (const name of names) tables.push(await PARTS[name]());
  publish({
    name: ['calibrate', ...(chosen === undefined ? [] : names)].join('-'),
    command: commandLine('bench:calibrate'),
    about:
      'Rounding weights to 4 bits, each group by itself and by texts (`--calibrate`), with activations of 8 bits. SmolLM2: the weights of its Q4_1 file ' +
      'as float32, rounded by the texts of `bench/fixtures/octavo-tiny-calibration.jsonl`; perplexity of held-out stories of the same kind, and of a page of the documentation. ' +
      `Memory: the peak above what the process had before. Ends with exit code 1 above ${LIMIT_GB} GB in the shape of Llama 3.1 8B.`,
    tables,
  });
} finally {
  rmSync(cacheDir, { recursive: true });
}
