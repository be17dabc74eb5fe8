import { describe, expect, it } from 'vitest';
import { LogitRanker } from '../../../engine/sampling/candidates.js';
import { editedCandidates, editedTotal } from '../../../engine/sampling/edited-candidates.js';
import { uniform } from '../../../engine/sampling/random.js';
import { Sampler, totalWeight } from '../../../engine/sampling/sampler.js';
import { GREEDY, type SamplingParams } from '../../../engine/sampling/sampling-params.js';
import { SequenceSampler } from '../../../engine/sampling/sequence-sampler.js';
import type { TokenId } from '../../../scheduler/ids.js';
import { wholeRow } from '../../support/logits-result.js';

const VOCAB = 400;
/** Some logits are equal, so that ties are met. */
const rowOf = (seed: number): Float32Array =>
  Float32Array.from({ length: VOCAB }, (_, i) => Math.round(60 * uniform(seed, i)) / 5);

/** The head of a row's ranking, in memory of its own. */
function headOf(row: Float32Array, count: number) {
  const { ids, logits, complete } = new LogitRanker().largest(row, count);
  return { count, ids: ids.slice(0, count), logits: logits.slice(0, count), complete };
}

describe('editedCandidates', () => {
  it.each([1, 2, 3, 4])('is the head of the new ranking, up and down (%d)', (seed) => {
    for (let round = 0; round < 50; round++) {
      const row = rowOf(100 * seed + round);
      const edited = row.slice();
      const touched = new Set<number>();
      for (let i = 0; i < 8 * round; i++) {
        const id = Math.floor(VOCAB * uniform(round, 2 * i));
        touched.add(id);
        edited[id] += i % 7 === 0 ? 0 : Math.round(20 * uniform(seed, 2 * i + 1)) / 2 - 5;
        if (i % 11 === 0) edited[id] = Number.NEGATIVE_INFINITY;
      }
      const head = headOf(row, 128);
      const candidates = editedCandidates(head, row, edited, touched);
      const expected = headOf(edited, candidates.count);
      expect(candidates.ids).toEqual(expected.ids);
      expect(candidates.logits).toEqual(expected.logits);
      if (round < 5) expect(candidates.count).toBeGreaterThan(64);

      const largest = Math.max(...edited);
      const before = totalWeight(row, head.logits[0], 0.7);
      const total = editedTotal(before, 0.7, row, edited, touched, head.logits[0], largest);
      if (Number.isNaN(total)) continue;
      expect(Math.abs(total / totalWeight(edited, largest, 0.7) - 1)).toBeLessThan(1e-12);
    }
  });

  it('asks for the sum anew when little of it is left', () => {
    const row = Float32Array.of(20, 1, 2, 3);
    const edited = Float32Array.of(-80, 1, 2, 3);
    expect(editedTotal(totalWeight(row, 20, 1), 1, row, edited, [0], 20, 3)).toBeNaN();
  });
});

describe('choices after edits', () => {
  const STYLES: readonly Partial<SamplingParams>[] = [
    { temperature: 0, frequencyPenalty: 0.5 },
    { temperature: 1, presencePenalty: 2 },
    { temperature: 3, repetitionPenalty: 1.4, topP: 0.95 },
    { temperature: 0.5, repetitionPenalty: 3, frequencyPenalty: 3 },
    { temperature: 1.5, topK: 20, frequencyPenalty: -1 },
    { temperature: 2, minP: 0.05, repetitionPenalty: 1.2 },
    { temperature: 1, typicalP: 0.8, repetitionPenalty: 1.2 },
    {
      temperature: 1,
      logitBias: [
        [7 as TokenId, 9],
        [8 as TokenId, -100],
      ],
    },
  ];

  it.each(STYLES)('%o: are the same with the head of the ranking and without', (style) => {
    const sampler = new Sampler();
    const edited = new Float32Array(VOCAB);
    for (let seed = 0; seed < 10; seed++) {
      const params = { ...GREEDY, ...style, seed };
      const create = (): SequenceSampler =>
        new SequenceSampler({
          params,
          promptTokenIds: [3, 90, 200] as TokenId[],
          stopTokenIds: [11, 12] as TokenId[],
          minTokens: 5,
          constraint: null,
        });
      const [withHead, without] = [create(), create()];
      for (let i = 0; i < 40; i++) {
        const row = rowOf(1000 * seed + i);
        const candidates = headOf(row, 128);
        const total = totalWeight(row, candidates.logits[0], params.temperature || 1);
        const token = withHead.choose(sampler, { candidates, total, row }, edited);
        expect(token).toBe(without.choose(sampler, wholeRow(row), edited));
        withHead.accept(token);
        without.accept(token);
      }
    }
  });
});
