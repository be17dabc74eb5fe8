import { byPrompt } from '../../../engine/generation/choice-index.js';
import type { Choice } from '../answer.js';

/**
 * Of each prompt's candidates keeps the `n` with the highest log-probability per token, best first;
 * equal ones keep their order. Where there is nothing to choose, all of them do: choice `i` is then
 * the one of seed + `i`.
 */
export function bestOf(candidates: readonly Choice[], perPrompt: number, n: number): Choice[] {
  if (perPrompt === n) return [...candidates];
  return byPrompt(candidates, perPrompt).flatMap((of) =>
    of.sort((a, b) => score(b) - score(a)).slice(0, n),
  );
}

/** An empty completion says nothing that could be unlikely. */
function score({ logprobSum, tokens }: Choice): number {
  return tokens === 0 ? 0 : logprobSum / tokens;
}
