import type { TokenId } from '../../scheduler/ids.js';
import { uniform } from './random.js';
import type { SamplingParams } from './sampling-params.js';

/**
 * Chooses a token.
 *
 * @param logits `[vocabSize]`, only read
 * @param index how many tokens the sequence has generated: with the seed it fixes the random number
 */
export function sampleToken(logits: Float32Array, params: SamplingParams, index: number): TokenId {
  if (params.temperature === 0) return argMax(logits);
  const probabilities = softmax(logits, params.temperature);
  const draw = uniform(params.seed, index);
  return params.topP < 1
    ? sampleNucleus(probabilities, params.topP, draw)
    : sampleAll(probabilities, draw);
}

/** A copy of the logits in which tokens that are not allowed are impossible. */
export function maskedLogits(logits: Float32Array, allowed: Int32Array): Float32Array {
  return logits.map((logit, token) =>
    (allowed[token >>> 5] >>> (token & 31)) & 1 ? logit : -Infinity,
  );
}

/** The first of the largest, so that ties never depend on chance. */
export function argMax(logits: Float32Array): TokenId {
  let best = 0;
  for (let i = 1; i < logits.length; i++) if (logits[i] > logits[best]) best = i;
  return best as TokenId;
}

function softmax(logits: Float32Array, temperature: number): Float64Array {
  const max = logits[argMax(logits)];
  const probabilities = new Float64Array(logits.length);
  let sum = 0;
  for (let i = 0; i < logits.length; i++) {
    const p = Math.exp((logits[i] - max) / temperature);
    probabilities[i] = p;
    sum += p;
  }
  for (let i = 0; i < probabilities.length; i++) probabilities[i] /= sum;
  return probabilities;
}

/** Inverse transform over the vocabulary in its own order. */
function sampleAll(probabilities: Float64Array, draw: number): TokenId {
  let rest = draw;
  for (let i = 0; i < probabilities.length; i++) {
    rest -= probabilities[i];
    if (rest < 0) return i as TokenId;
  }
  return lastPossible(probabilities);
}

/** Inverse transform over the smallest set of most likely tokens whose mass reaches `topP`. */
function sampleNucleus(probabilities: Float64Array, topP: number, draw: number): TokenId {
  const order = Array.from(probabilities.keys());
  // Equal probabilities keep the order of their ids: the set must not depend on the sort.
  order.sort((a, b) => probabilities[b] - probabilities[a] || a - b);
  let mass = 0;
  let size = 0;
  while (size < order.length && mass < topP) mass += probabilities[order[size++]];
  let rest = draw * mass;
  for (let i = 0; i < size; i++) {
    rest -= probabilities[order[i]];
    if (rest < 0) return order[i] as TokenId;
  }
  return order[size - 1] as TokenId;
}

/** Rounding may leave a crumb of `draw` after the last token: it goes to one that can really occur. */
function lastPossible(probabilities: Float64Array): TokenId {
  let last = probabilities.length - 1;
  while (last > 0 && probabilities[last] === 0) last -= 1;
  return last as TokenId;
}
