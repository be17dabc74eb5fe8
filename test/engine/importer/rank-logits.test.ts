import { describe, expect, it, onTestFinished } from 'vitest';
import { ReferenceAttention } from '../../../engine/attention/reference-attention.js';
import { fullRowsOf, type LogitsQuery } from '../../../engine/decoding/logits-query.js';
import { importModel } from '../../../engine/importer/import-model.js';
import { SegmentRunner } from '../../../engine/runner/segment-runner.js';
import { uniform } from '../../../engine/sampling/random.js';
import type { BlockId } from '../../../kvcache/ids.js';
import type { SequenceId, TokenId } from '../../../scheduler/ids.js';
import type { StepPlan } from '../../../scheduler/step-plan.js';
import { answerRows } from '../../support/logits-result.js';
import { modelDir } from '../../support/model-dir.js';
import { TINY, tinyDecoder } from '../../support/tiny-decoder.js';

const VOCAB = 300;
const TOKENS = 40;
const id = 'r' as SequenceId;
const prompt: StepPlan = {
  sequences: [
    {
      id,
      tokenIds: Array.from({ length: TOKENS }, (_, i) => ((i * 17) % VOCAB) as TokenId),
      numComputed: 0,
      numProposed: 0,
      adapter: null,
      sequenceLength: TOKENS,
      blockTables: [Array.from({ length: TOKENS / 4 }, (_, i) => i as BlockId)],
      sampledFor: [id],
    },
  ],
  numTokens: TOKENS,
  blockCopies: [],
};
const NOTHING: LogitsQuery = { ...fullRowsOf(prompt), logitRows: [], targetIds: [], fullRows: [] };
const all = Array.from({ length: TOKENS }, (_, row) => row);

/** Tokens 150 to 299 have the weights of tokens 0 to 149: every logit is there twice. */
function twins(): Uint8Array {
  const b = tinyDecoder({ shape: { ...TINY, vocab: VOCAB } });
  const head = b.weights.find(({ name }) => name === 'lm_head');
  if (!head) throw new Error('no head');
  const weights = new Float32Array(new Uint8Array(head.rawData).buffer);
  for (let i = 0; i < weights.length; i += VOCAB) {
    weights.copyWithin(i + VOCAB / 2, i, i + VOCAB / 2);
  }
  head.rawData = new Uint8Array(weights.buffer);
  return b.bytes();
}

async function createRunner(bytes: Uint8Array, maxLogitBytes?: number): Promise<SegmentRunner> {
  const model = await importModel({ modelDir: modelDir({ 'model.onnx': bytes }) });
  const attention = new ReferenceAttention({
    layers: model.sites,
    numBlocks: 16,
    blockSize: 4,
    kvDtype: 'f32',
    threads: 1,
  });
  const runner = await SegmentRunner.create(model, attention, {
    threads: 2,
    ...(maxLogitBytes !== undefined && { maxLogitBytes }),
  });
  onTestFinished(() => runner.dispose());
  return runner;
}

/**
 * A runner, one that answers in pieces of 5 rows, and all that there is to know of the prompt's
 * rows.
 */
async function setUp() {
  const bytes = twins();
  const runner = await createRunner(bytes);
  const query = { ...NOTHING, logitRows: all, targetIds: all, fullRows: all, hiddenRows: all };
  const { fullLogits, hidden } = await runner.execute(prompt, query);
  const row = (values: Float32Array, width: number, at: number): Float32Array =>
    values.subarray(at * width, (at + 1) * width);
  return {
    runner,
    pieces: await createRunner(bytes, 5 * VOCAB * 4),
    logits: (at: number) => row(fullLogits, VOCAB, at),
    hidden: (at: number) => row(hidden, TINY.hidden, at),
  };
}

/** Some rows, sums and whole rows, drawn from a seed. */
function randomQuery(seed: number): LogitsQuery {
  let counter = 0;
  const random = (): number => uniform(seed, counter++);
  const logitRows = all.filter(() => random() < 0.4);
  const numbers = logitRows.map((_, s) => s);
  const rows = numbers.flatMap((s) => Array.from({ length: Math.floor(3 * random()) }, () => s));
  return {
    logitRows,
    topK: [1, 20, 128, VOCAB][seed % 4],
    targetIds: logitRows.map(() => Math.floor(VOCAB * random())),
    fullRows: numbers.filter(() => random() < 0.2),
    softmaxSums: {
      rows,
      temperatures: rows.map(() => 0.2 + 2 * random()),
      coverMasses: rows.map(() => random()),
      cutoffRatios: rows.map(() => (random() < 0.3 ? random() : 0)),
    },
    hiddenRows: all.filter(() => random() < 0.2),
  };
}

describe('the end of the graph', () => {
  it.each([0, 1, 2, 3, 4, 5, 6, 7])('answers what a plain computation does (%d)', async (seed) => {
    const { runner, pieces, logits, hidden } = await setUp();
    const query = randomQuery(seed);
    const expected = answerRows(query, logits, (row) => Array.from(hidden(row)));
    for (const one of [runner, pieces]) {
      const answer = await one.execute(prompt, query);
      expect(answer.topLogits).toEqual(expected.topLogits);
      expect(answer.topIds).toEqual(expected.topIds);
      expect(answer.targetLogits).toEqual(expected.targetLogits);
      expect(answer.hidden).toEqual(expected.hidden);
      answer.softmaxSums.forEach((total, m) => {
        expect(Math.abs(total / expected.softmaxSums[m] - 1)).toBeLessThan(2e-6);
      });
      const sorted = [...answer.fullRows].sort((a, b) => a - b);
      expect(sorted).toEqual([...expected.fullRows].sort((a, b) => a - b));
      answer.fullRows.forEach((s, f) => {
        const row = answer.fullLogits.subarray(f * VOCAB, (f + 1) * VOCAB);
        expect(row).toEqual(logits(query.logitRows[s]));
      });
    }
  });

  it('has the lower id first among equals', async () => {
    const { runner } = await setUp();
    const { topIds, topLogits } = await runner.execute(prompt, {
      ...NOTHING,
      logitRows: [7],
      targetIds: [0],
      topK: VOCAB,
    });
    for (let rank = 0; rank < VOCAB; rank += 2) {
      expect(topLogits[rank]).toBe(topLogits[rank + 1]);
      expect(topIds[rank + 1]).toBe(topIds[rank] + VOCAB / 2);
    }
  });

  it('gives hidden states without logits, and nothing when nothing is asked', async () => {
    const { runner, hidden } = await setUp();
    const answer = await runner.execute(prompt, { ...NOTHING, hiddenRows: [3, 39] });
    expect(answer.topLogits.length).toBe(0);
    expect(answer.hidden.subarray(0, TINY.hidden)).toEqual(hidden(3));
    const empty = await runner.execute(prompt, NOTHING);
    expect(Object.values(empty).map(({ length }: ArrayLike<number>) => length)).toEqual([
      0, 0, 0, 0, 0, 0, 0,
    ]);
  });
});
