import type { SamplingParams } from '../../engine/sampling/sampling-params.js';

/** A sequence so far, as penalties see it. */
export interface Context {
  readonly prompt: readonly number[];
  readonly output: readonly number[];
  /** Null: every token may come. */
  readonly allowed?: (token: number) => boolean;
}

/**
 * The distribution of the next token, straight from the definitions: every step over the whole
 * vocabulary, by sorting and renormalizing. The oracle of the sampler's tests.
 */
export function exactDistribution(
  logits: ArrayLike<number>,
  params: SamplingParams,
  { prompt, output, allowed = () => true }: Context = { prompt: [], output: [] },
): number[] {
  const edited = Array.from(logits, (logit, token) => {
    let x = logit;
    for (const [biased, amount] of params.logitBias) if (biased === token) x += amount;
    if (prompt.includes(token) || output.includes(token)) {
      x = x > 0 ? x / params.repetitionPenalty : x * params.repetitionPenalty;
    }
    const count = output.filter((other) => other === token).length;
    x -= params.frequencyPenalty * count + (count > 0 ? params.presencePenalty : 0);
    return allowed(token) ? x : Number.NEGATIVE_INFINITY;
  });
  const largest = Math.max(...edited);
  let p = normalize(edited.map((x) => Math.exp((x - largest) / params.temperature)));
  const ranks = edited.map((_, i) => i).sort((a, b) => edited[b] - edited[a] || a - b);
  if (params.topK > 0) p = keep(p, ranks.slice(0, params.topK));
  if (params.minP > 0) {
    const least = params.minP * Math.max(...p);
    p = keep(
      p,
      ranks.filter((i) => p[i] >= least),
    );
  }
  if (params.typicalP < 1) {
    const entropy = p.reduce((sum, x) => sum - (x > 0 ? x * Math.log(x) : 0), 0);
    const distance = (i: number): number => Math.abs(-Math.log(p[i]) - entropy);
    const order = ranks.filter((i) => p[i] > 0).sort((a, b) => distance(a) - distance(b));
    p = keep(p, untilMass(p, order, params.typicalP));
  }
  if (params.topP < 1) p = keep(p, untilMass(p, ranks, params.topP));
  return p;
}

function untilMass(p: readonly number[], order: readonly number[], mass: number): number[] {
  const kept: number[] = [];
  let reached = 0;
  for (const i of order) {
    if (reached >= mass) break;
    kept.push(i);
    reached += p[i];
  }
  return kept;
}

function keep(p: readonly number[], kept: readonly number[]): number[] {
  const set = new Set(kept);
  return normalize(p.map((x, i) => (set.has(i) ? x : 0)));
}

function normalize(weights: readonly number[]): number[] {
  const total = weights.reduce((a, b) => a + b, 0);
  return weights.map((w) => w / total);
}
