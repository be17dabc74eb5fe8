import { describe, expect, it } from 'vitest';
import { uniform } from '../../../engine/sampling/random.js';
import { sampleToken } from '../../../engine/sampling/sampler.js';
import { GREEDY, type SamplingParams } from '../../../engine/sampling/sampling-params.js';

const DRAWS = 20_000;
const LOGITS = Float32Array.from([1.5, -0.3, 0.8, 2.1, 0.8, -4, 0.1, 1.1]);

/** The exact distribution: softmax at a temperature, cut to the nucleus of `topP`. */
function exact(temperature: number, topP: number): number[] {
  const weights = [...LOGITS].map((logit) => Math.exp(logit / temperature));
  const total = weights.reduce((a, b) => a + b, 0);
  const order = weights.map((w, i) => ({ p: w / total, i })).sort((a, b) => b.p - a.p || a.i - b.i);
  const kept = new Map<number, number>();
  let mass = 0;
  for (const { p, i } of order) {
    if (mass >= topP) break;
    kept.set(i, p);
    mass += p;
  }
  return weights.map((_, i) => (kept.get(i) ?? 0) / mass);
}

/** Pearson's statistic of many draws, and its degrees of freedom; infinite when an impossible token was drawn. */
function chiSquare(
  sample: (index: number) => number,
  probabilities: readonly number[],
): { statistic: number; degrees: number } {
  const counts = probabilities.map(() => 0);
  for (let i = 0; i < DRAWS; i++) counts[sample(i)] += 1;
  let statistic = 0;
  let cells = 0;
  probabilities.forEach((p, i) => {
    if (p === 0) {
      if (counts[i] > 0) statistic = Number.POSITIVE_INFINITY;
      return;
    }
    cells += 1;
    statistic += (counts[i] - DRAWS * p) ** 2 / (DRAWS * p);
  });
  return { statistic, degrees: cells - 1 };
}

/** 99.99 % point of the chi-square distribution (Wilson and Hilferty 1931). */
function critical(degrees: number): number {
  const a = 2 / (9 * degrees);
  return degrees * (1 - a + 3.719 * Math.sqrt(a)) ** 3;
}

describe('sampleToken', () => {
  it.each([
    [1, 1],
    [0.5, 1],
    [1.8, 1],
    [1, 0.9],
    [1, 0.5],
    [0.7, 0.75],
  ])('temperature %d, top_p %d: the exact distribution', (temperature, topP) => {
    const params: SamplingParams = { ...GREEDY, temperature, topP, seed: 42 };
    const { statistic, degrees } = chiSquare(
      (i) => sampleToken(LOGITS, params, i),
      exact(temperature, topP),
    );
    expect(statistic).toBeLessThan(critical(degrees));
  });

  it('the test itself sees a sampler that is slightly wrong', () => {
    const wrong: SamplingParams = { ...GREEDY, temperature: 1.1, topP: 1, seed: 42 };
    const hot = chiSquare((i) => sampleToken(LOGITS, wrong, i), exact(1, 1));
    expect(hot.statistic).toBeGreaterThan(critical(hot.degrees));
    const open: SamplingParams = { ...GREEDY, temperature: 1, topP: 0.95, seed: 42 };
    const wide = chiSquare((i) => sampleToken(LOGITS, open, i), exact(1, 0.9));
    expect(wide.statistic).toBeGreaterThan(critical(wide.degrees));
  });

  it('greedy takes the largest, and the first of equals', () => {
    const greedy: SamplingParams = { ...GREEDY, temperature: 0, topP: 1, seed: 1 };
    expect(sampleToken(LOGITS, greedy, 0)).toBe(3);
    expect(sampleToken(Float32Array.of(0, 7, 7, 7), greedy, 5)).toBe(1);
  });

  it('the same seed and index give the same token; others differ', () => {
    const params: SamplingParams = { ...GREEDY, temperature: 2, topP: 1, seed: 9 };
    const run = (p: SamplingParams): number[] =>
      Array.from({ length: 50 }, (_, i) => sampleToken(LOGITS, p, i));
    expect(run(params)).toEqual(run(params));
    expect(run(params)).not.toEqual(run({ ...params, seed: 10 }));
  });

  it('never draws a token that cannot occur', () => {
    const logits = Float32Array.of(0, Number.NEGATIVE_INFINITY, 0, Number.NEGATIVE_INFINITY);
    const params: SamplingParams = { ...GREEDY, temperature: 5, topP: 1, seed: 3 };
    for (let i = 0; i < 2000; i++) expect([0, 2]).toContain(sampleToken(logits, params, i));
  });
});

describe('uniform', () => {
  it('is uniform over seeds and over counters', () => {
    for (const draw of [(i: number) => uniform(5, i), (i: number) => uniform(i, 5)]) {
      const cells = 50;
      const { statistic, degrees } = chiSquare(
        (i) => Math.floor(draw(i) * cells),
        Array.from({ length: cells }, () => 1 / cells),
      );
      expect(statistic).toBeLessThan(critical(degrees));
    }
  });

  it('neighbours are independent', () => {
    const cells = 10;
    const { statistic, degrees } = chiSquare(
      (i) => Math.floor(uniform(1, i) * cells) * cells + Math.floor(uniform(2, i) * cells),
      Array.from({ length: cells * cells }, () => 1 / cells ** 2),
    );
    expect(statistic).toBeLessThan(critical(degrees));
  });
});
