/**
 * Keeps the first `dimensions` components (Kusupati et al. 2022, Matryoshka representations) and
 * scales them to length 1. A zero vector stays zero.
 */
export function truncateAndNormalize(embedding: Float32Array, dimensions: number): Float32Array {
  const cut = embedding.slice(0, dimensions);
  const norm = Math.sqrt(cut.reduce((sum, value) => sum + value * value, 0));
  return norm === 0 ? cut : cut.map((value) => value / norm);
}
