import type { Candidates } from './candidates.js';
import { minPEnd, sum, topKEnd, topPEnd, typicalRange } from './filters.js';
import type { SamplingParams } from './sampling-params.js';

/** Returned when the candidates do not decide, because lower ranks matter, too. */
export const UNDECIDED = -1;

/**
 * Chooses among ranked candidates: applies the filters, then the inverse transform in the order of
 * ranks. The result depends only on the row's logits, never on the number of candidates: when they
 * are too few, it is `UNDECIDED`.
 *
 * @param draw in [0, 1)
 * @param total sum over the whole vocabulary of `exp((logit - largest) / temperature)`; read only
 *   if `needsTotal(params)`. NaN when unknown: the result is then `UNDECIDED` if the sum is needed
 * @param weights memory for one number for each candidate; receives
 *   `exp((logit - largest) / temperature)`
 * @returns a rank, or `UNDECIDED`
 */
export function chooseRank(
  candidates: Candidates,
  params: SamplingParams,
  draw: number,
  total: number,
  weights: Float64Array,
): number {
  const { temperature, topK, minP, typicalP, topP } = params;
  if (temperature === 0) return 0;
  const { count, logits } = candidates;
  for (let rank = 0; rank < count; rank++) {
    weights[rank] = Math.exp((logits[rank] - logits[0]) / temperature);
  }
  let start = 0;
  let end = topKEnd(count, topK);
  // Closed: no rank after `end` can be chosen, so the mass is known without `total`.
  let closed = candidates.complete || (topK > 0 && topK <= count);
  if (minP > 0) {
    const kept = minPEnd(weights, end, minP);
    closed ||= kept < end;
    end = kept;
  }
  if (!closed && !needsTotal(params)) return UNDECIDED;
  if (typicalP < 1) ({ start, end } = typicalRange(weights, end, typicalP));
  let mass = closed ? sum(weights, start, end) : total;
  if (topP < 1) {
    const nucleus = topPEnd(weights, start, end, topP * mass);
    if (nucleus <= end) {
      end = nucleus;
      mass = sum(weights, start, end);
      closed = true;
    } else if (!closed) {
      return UNDECIDED;
    }
  }
  let rest = draw * mass;
  for (let rank = start; rank < end; rank++) {
    rest -= weights[rank];
    if (rest < 0) return rank;
  }
  return closed ? lastPossible(weights, start, end) : UNDECIDED;
}

/**
 * Whether the probability of ranks beyond the candidates matters, because no filter ends the
 * ranking by itself.
 */
export function needsTotal({ temperature, topK, minP, typicalP }: SamplingParams): boolean {
  return temperature > 0 && topK === 0 && minP === 0 && typicalP === 1;
}

/**
 * Rounding can carry the draw past the last weight; then the last candidate with a non-zero weight
 * is chosen.
 */
function lastPossible(weights: Float64Array, start: number, end: number): number {
  let last = end - 1;
  while (last > start && weights[last] === 0) last -= 1;
  return last;
}
