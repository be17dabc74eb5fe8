import { describe, expect, it } from 'vitest';
import { uniform } from '../../../engine/sampling/random.js';
import { Sampler } from '../../../engine/sampling/sampler.js';
import { GREEDY, type SamplingParams } from '../../../engine/sampling/sampling-params.js';
import { chiSquare } from '../../support/chi-square.js';
import { exactDistribution } from '../../support/exact-distribution.js';

const SMALL = Float32Array.from([1.5, -0.3, 0.8, 2.1, 0.8, -4, 0.1, 1.1, -1.2, 0.4]);
/** More tokens than are ranked at first, none of them rare. */
const WIDE = Float32Array.from({ length: 160 }, (_, i) => 2 * Math.sin(i * i));
const sampler = new Sampler();

const drawFrom = (logits: Float32Array, params: SamplingParams) => (i: number) =>
  sampler.fromRow(logits, params, uniform(params.seed, i));

const params = (more: Partial<SamplingParams>): SamplingParams => ({
  ...GREEDY,
  temperature: 1,
  seed: 42,
  ...more,
});

/** Parameters, and others that are only slightly different: the test must see the difference. */
const CASES: readonly [Partial<SamplingParams>, Partial<SamplingParams>][] = [
  [{}, { temperature: 1.1 }],
  [{ temperature: 0.5 }, { temperature: 0.55 }],
  [{ temperature: 1.8 }, { temperature: 1.6 }],
  [{ topK: 3 }, { topK: 4 }],
  [{ topK: 1 }, { topK: 2 }],
  [{ topK: 150 }, { topK: 90 }],
  [{ minP: 0.2 }, { minP: 0.1 }],
  [{ minP: 0.02 }, { minP: 0.35 }],
  [{ typicalP: 0.5 }, { typicalP: 0.8 }],
  [{ typicalP: 0.9 }, { typicalP: 0.7 }],
  [{ topP: 0.9 }, { topP: 0.97 }],
  [{ topP: 0.5 }, { topP: 0.75 }],
  [{ temperature: 0.7, topP: 0.75 }, { temperature: 0.7 }],
  [
    { topK: 6, topP: 0.8 },
    { topK: 0, topP: 0.8 },
  ],
  [
    { topK: 7, minP: 0.1, typicalP: 0.9, topP: 0.9, temperature: 1.3 },
    { topK: 7, minP: 0.1, topP: 0.9, temperature: 1.3 },
  ],
  [
    { minP: 0.05, topP: 0.6 },
    { minP: 0.05, topP: 0.8 },
  ],
];

describe('Sampler', () => {
  describe.each([
    ['10 tokens', SMALL],
    ['160 tokens', WIDE],
  ])('%s', (_, logits) => {
    it.each(CASES)('%o: the exact distribution', (right) => {
      const exact = exactDistribution(logits, params(right));
      expect(chiSquare(drawFrom(logits, params(right)), exact)).toBeLessThan(1);
    });
  });

  it.each(CASES)('%o is told from %o', (right, wrong) => {
    const differs = (logits: Float32Array): boolean => {
      const other = exactDistribution(logits, params(wrong));
      return exactDistribution(logits, params(right)).some((p, i) => Math.abs(p - other[i]) > 1e-9);
    };
    const logits = differs(SMALL) ? SMALL : WIDE;
    const exact = exactDistribution(logits, params(right));
    expect(chiSquare(drawFrom(logits, params(wrong)), exact)).toBeGreaterThan(1);
  });

  it('greedy takes the largest, and the first of equals', () => {
    expect(sampler.fromRow(SMALL, GREEDY, 0.9)).toBe(3);
    expect(sampler.fromRow(Float32Array.of(0, 7, 7, 7), GREEDY, 0.5)).toBe(1);
    expect(sampler.fromRow(Float32Array.of(-0, 0), params({ topK: 1 }), 0.5)).toBe(0);
  });

  it('never draws a token that cannot occur', () => {
    const logits = Float32Array.of(0, Number.NEGATIVE_INFINITY, 0, Number.NEGATIVE_INFINITY);
    const draw = drawFrom(logits, params({ temperature: 5 }));
    for (let i = 0; i < 2000; i++) expect([0, 2]).toContain(draw(i));
    expect(sampler.fromRow(logits, params({}), 1 - 2 ** -53)).toBe(2);
  });

  it('keeps the order of equals in every filter', () => {
    const equal = new Float32Array(300);
    const drawn = (more: Partial<SamplingParams>): number[] => {
      const draw = drawFrom(equal, params(more));
      return [...new Set(Array.from({ length: 3000 }, (_, i) => draw(i)))].sort((a, b) => a - b);
    };
    const first = (n: number): number[] => Array.from({ length: n }, (_, i) => i);
    expect(drawn({ topK: 5 })).toEqual(first(5));
    expect(drawn({ topP: 0.0995 })).toEqual(first(30));
    expect(drawn({ typicalP: 0.0995 })).toEqual(first(30));
    expect(drawn({ minP: 1 }).length).toBe(300);
  });

  it('decides from the head of the ranking exactly as from the row', () => {
    const head = 128;
    const order = [...WIDE.keys()].sort((a, b) => WIDE[b] - WIDE[a] || a - b).slice(0, head);
    const candidates = {
      count: head,
      ids: Int32Array.from(order),
      logits: Float32Array.from(order, (id) => WIDE[id]),
      complete: false,
    };
    for (const temperature of [0, 0.2, 1, 2]) {
      for (const [right] of CASES) {
        const p = { ...params(right), temperature };
        const total = WIDE.reduce(
          (t, x) => t + Math.exp((x - candidates.logits[0]) / temperature),
          0,
        );
        let decided = 0;
        for (let i = 0; i < 500; i++) {
          const draw = uniform(7, i);
          const token = sampler.fromCandidates(candidates, p, draw, total);
          if (token === null) continue;
          decided += 1;
          expect(token).toBe(sampler.fromRow(WIDE, p, draw));
        }
        if (temperature <= 0.2 && p.typicalP === 1 && p.topK <= head)
          expect(decided).toBeGreaterThan(480);
      }
    }
  });
});

describe('uniform', () => {
  it('is uniform over seeds and over counters', () => {
    for (const draw of [(i: number) => uniform(5, i), (i: number) => uniform(i, 5)]) {
      const cells = Array.from({ length: 50 }, () => 1 / 50);
      expect(chiSquare((i) => Math.floor(draw(i) * 50), cells)).toBeLessThan(1);
    }
  });

  it('neighbors are independent', () => {
    const pair = (i: number): number =>
      Math.floor(uniform(1, i) * 10) * 10 + Math.floor(uniform(2, i) * 10);
    const cells = Array.from({ length: 100 }, () => 1 / 100);
    expect(chiSquare(pair, cells)).toBeLessThan(1);
  });
});
