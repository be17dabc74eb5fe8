// Each filter narrows a range of ranks. `weights` are the candidates' probabilities by rank,
// falling, up to a common factor. Filters apply in order, each to the range that the one before it
// has kept.

/** Keeps the first `topK` ranks; 0 keeps all. @returns the end of the range */
export function topKEnd(end: number, topK: number): number {
  return topK > 0 ? Math.min(end, topK) : end;
}

/** Keeps ranks at least `minP` times as likely as the first. @returns the end of the range */
export function minPEnd(weights: Float64Array, end: number, minP: number): number {
  const least = minP * weights[0];
  let kept = 1;
  while (kept < end && weights[kept] >= least) kept += 1;
  return kept;
}

/**
 * Keeps the ranks whose surprise, `-log p`, is nearest the entropy, until their mass reaches
 * `typicalP`; of two equally near ranks, the likelier comes first. Surprise grows with the rank, so
 * the kept ranks are contiguous, and the range grows from the rank at the entropy.
 */
export function typicalRange(
  weights: Float64Array,
  end: number,
  typicalP: number,
): { readonly start: number; readonly end: number } {
  const total = sum(weights, 0, end);
  const surprise = (rank: number): number => Math.log(total / weights[rank]);
  let entropy = 0;
  for (let rank = 0; rank < end; rank++) {
    if (weights[rank] > 0) entropy += (weights[rank] / total) * surprise(rank);
  }
  let after = 0;
  while (after < end && surprise(after) < entropy) after += 1;
  let before = after - 1;
  for (let mass = 0; mass < typicalP * total && (before >= 0 || after < end); ) {
    const likelier =
      after === end || (before >= 0 && entropy - surprise(before) <= surprise(after) - entropy);
    mass += weights[likelier ? before-- : after++];
  }
  return { start: before + 1, end: after };
}

/**
 * The shortest range from `start` whose mass reaches `mass`.
 *
 * @returns its end; `end + 1` when the whole range has less
 */
export function topPEnd(weights: Float64Array, start: number, end: number, mass: number): number {
  let reached = 0;
  for (let rank = start; rank < end; rank++) {
    reached += weights[rank];
    if (reached >= mass) return rank + 1;
  }
  return end + 1;
}

export function sum(weights: Float64Array, start: number, end: number): number {
  let total = 0;
  for (let rank = start; rank < end; rank++) total += weights[rank];
  return total;
}
