import type { Candidates } from './candidates.js';
import { minPEnd, sum, topKEnd, topPEnd, typicalRange } from './filters.js';
import type { SamplingParams } from './sampling-params.js';

/** The candidates do not decide: what comes after them in the ranking matters too. */
export const UNDECIDED = -1;

/**
 * Chooses among ranked candidates: filters, then the inverse transform in the order of ranks. The
 * answer depends on the row's logits alone, never on how many candidates there are: too few are
 * never silently taken for all.
 *
 * @param draw in [0, 1)
 * @param total sum over the whole vocabulary of `exp((logit - largest) / temperature)`; only read
 *   if `needsTotal(params)`. With NaN, for not known, candidates of which that is needed do not
 *   decide
 * @param weights memory for as many numbers as there are candidates; afterwards their
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
  // Closed: nothing after `end` can be chosen, so the mass is known without `total`.
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
 * Whether the probability of what the candidates leave out matters: without a filter that ends the
 * ranking by itself.
 */
export function needsTotal({ temperature, topK, minP, typicalP }: SamplingParams): boolean {
  return temperature > 0 && topK === 0 && minP === 0 && typicalP === 1;
}

/**
 * Rounding may leave a crumb of the draw after the last weight: it goes to a token that can really
 * occur.
 */
function lastPossible(weights: Float64Array, start: number, end: number): number {
  let last = end - 1;
  while (last > start && weights[last] === 0) last -= 1;
  return last;
}
