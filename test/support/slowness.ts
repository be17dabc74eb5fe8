/** Milliseconds of `ROUNDS` on the two cores on which bounds of delays were found. */
const USUAL_MS = 3;
const ROUNDS = 3_000_000;

/**
 * By how much the machine is slower now than the one on which bounds of delays were found, because
 * of its processors or of what else they do: 1, or more.
 */
export function slowness(): number {
  const times: number[] = [];
  for (let sample = 0; sample < 15; sample++) {
    const start = performance.now();
    let hash = sample;
    for (let round = 0; round < ROUNDS; round++) hash = Math.imul(hash ^ round, 16_777_619);
    // The compiler leaves out what is not read.
    if (hash !== Math.trunc(hash)) throw new Error('a hash is an integer');
    times.push(performance.now() - start);
  }
  return Math.max(1, times.toSorted((a, b) => a - b)[times.length >> 1] / USUAL_MS);
}
