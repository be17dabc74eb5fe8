/**
 * Numbers from -1 to 1 that look random and are the same for a seed: the linear congruential
 * generator of Numerical Recipes (Press et al.). For inputs of probes and tests, not for sampling.
 */
export function noise(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 31 - 1;
  };
}
