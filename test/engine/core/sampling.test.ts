import { describe, expect, it } from 'vitest';
import type { EngineRequest } from '../../../engine/protocol/request.js';
import { uniform } from '../../../engine/sampling/random.js';
import { GREEDY, type SamplingParams } from '../../../engine/sampling/sampling-params.js';
import type { SequenceId, TokenId } from '../../../scheduler/ids.js';
import { CoreHarness, type HarnessConfig } from '../../support/core-harness.js';
import { CountingConstraint } from '../../support/counting-constraint.js';

const VOCAB = 50;
const STYLES: readonly Partial<SamplingParams>[] = [
  {},
  { temperature: 1 },
  { temperature: 0.3, topP: 0.8 },
  { temperature: 1.5, topK: 7 },
  { temperature: 1, minP: 0.3, typicalP: 0.9 },
  { temperature: 1, repetitionPenalty: 1.3, logitBias: [[4 as TokenId, 2]] },
  { temperature: 0.5, frequencyPenalty: 0.7, presencePenalty: 0.3 },
  { frequencyPenalty: 1.5 },
];

interface Job {
  readonly ids: readonly string[];
  readonly prompt: readonly number[];
  readonly maxTokens: number;
  readonly more: Partial<EngineRequest>;
  readonly constrained: boolean;
}

/**
 * Requests of all kinds: 1 to 3 sequences, every style, some with a constraint or a least length.
 */
function jobs(seed: number, count: number): Job[] {
  return Array.from({ length: count }, (_, i) => {
    const random = (k: number, below: number): number =>
      Math.floor(uniform(seed, 10 * i + k) * below);
    const prompt = Array.from(
      { length: 1 + random(0, 20) },
      (__, j) => (j * 7 + random(1, 5)) % VOCAB,
    );
    const sampling = { ...GREEDY, ...STYLES[i % STYLES.length], seed: random(2, 2 ** 32) };
    const stopTokenIds = [3, 11] as TokenId[];
    return {
      ids: Array.from({ length: 1 + random(3, 3) }, (__, c) => `${i}.${c}`),
      prompt,
      maxTokens: 5 + random(4, 25),
      more: { sampling, stopTokenIds, minTokens: random(5, 8) },
      constrained: random(6, 3) === 0,
    };
  });
}

async function run(work: readonly Job[], config: HarnessConfig): Promise<CoreHarness> {
  const harness = new CoreHarness({ vocabSize: VOCAB, ...config });
  for (const { ids, prompt, maxTokens, more, constrained } of work) {
    const constraints = constrained ? ids.map(() => new CountingConstraint(VOCAB)) : [];
    harness.add(ids, prompt, maxTokens, more, constraints);
  }
  await harness.runToEnd();
  return harness;
}

const sorted = ({ texts }: CoreHarness) => [...texts].sort(([a], [b]) => a.localeCompare(b));

describe('sampling in the engine core', () => {
  it.each([1, 2, 3])(
    'gives the same tokens alone, in any batch and order, and after preemptions (%d)',
    async (seed) => {
      const work = jobs(seed, 24);
      const alone = new Map<string, number[]>();
      for (const job of work) {
        for (const [id, text] of (await run([job], {})).texts) alone.set(id, text);
      }
      const expected = [...alone].sort(([a], [b]) => a.localeCompare(b));
      expect(sorted(await run(work, {}))).toEqual(expected);
      expect(sorted(await run([...work].reverse(), { maxNumBatchedTokens: 7 }))).toEqual(expected);
      const tight = await run(work, { numBlocks: 16, enablePrefixCaching: seed === 2 });
      expect(tight.scheduler.numPreemptions).toBeGreaterThan(0);
      expect(sorted(tight)).toEqual(expected);
    },
  );

  it('does not end before minTokens', async () => {
    const stopTokenIds = Array.from({ length: 40 }, (_, i) => i as TokenId);
    const sampling = { ...GREEDY, temperature: 1, seed: 1 };
    const harness = new CoreHarness({ vocabSize: VOCAB });
    for (let i = 0; i < 20; i++) {
      harness.add(`r${i}`, [1, 2], 30, {
        stopTokenIds,
        minTokens: 6,
        sampling: { ...sampling, seed: i },
      });
    }
    await harness.runToEnd();
    for (const [id, text] of harness.texts) {
      expect(text.length).toBeGreaterThanOrEqual(7);
      expect(text.slice(0, 6).every((token) => token >= 40)).toBe(true);
      expect(harness.finished.get(id)?.finishReason).toBe('stop');
    }
  });
});

describe('constraints', () => {
  const two = () => [new CountingConstraint(VOCAB), new CountingConstraint(VOCAB)];

  it('each completion has its own, disposed of once when it ends', async () => {
    const harness = new CoreHarness({ vocabSize: VOCAB });
    const constraints = two();
    const sampling = { ...GREEDY, temperature: 1, seed: 5 };
    harness.add(['a', 'b'], [1, 2, 3], 9, { sampling }, constraints);
    await harness.runToEnd();
    expect(constraints[0].accepted).toEqual(harness.texts.get('a'));
    expect(constraints[1].accepted).toEqual(harness.texts.get('b'));
    expect(constraints[0].accepted).not.toEqual(constraints[1].accepted);
    expect(constraints.map((c) => c.disposals)).toEqual([1, 1]);
  });

  it('are disposed of when a completion is aborted', async () => {
    const harness = new CoreHarness({ vocabSize: VOCAB });
    const constraints = two();
    harness.add(['a', 'b'], [1, 2, 3], 9, {}, constraints);
    await harness.step();
    harness.core.abort('a' as SequenceId);
    expect(constraints.map((c) => c.disposals)).toEqual([1, 0]);
    harness.core.abort('a' as SequenceId);
    await harness.runToEnd();
    expect(constraints.map((c) => c.disposals)).toEqual([1, 1]);
  });

  it('are disposed of when the request is refused, and when the engine ends', async () => {
    const harness = new CoreHarness({ vocabSize: VOCAB });
    const refused = two();
    expect(() => harness.add(['a', 'b'], [1], 1000, {}, refused)).toThrow(/context length/);
    expect(() => harness.add(['a', 'b'], [99], 2, {}, refused)).toThrow(/outside the vocabulary/);
    expect(refused.map((c) => c.disposals)).toEqual([2, 2]);
    const running = two();
    harness.add(['a', 'b'], [1], 9, {}, running);
    harness.core.dispose();
    expect(running.map((c) => c.disposals)).toEqual([1, 1]);
  });
});

describe('bad parameters', () => {
  it.each([
    ['prompt', { promptTokenIds: [1, 50] as TokenId[] }],
    ['stop_token_ids', { stopTokenIds: [-1] as TokenId[] }],
    ['logit_bias', { sampling: { ...GREEDY, logitBias: [[1.5 as TokenId, 3]] } }],
  ] as const)('%s: a token outside the vocabulary is refused by name', (param, more) => {
    const harness = new CoreHarness({ vocabSize: VOCAB });
    expect(() => harness.add('a', [1], 3, more)).toThrow(
      expect.objectContaining({ kind: 'invalid_request', param }),
    );
    expect(harness.core.hasWork).toBe(false);
  });
});
