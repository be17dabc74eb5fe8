import type { PromptContent, Sequence } from './sequence.js';

/** A sequence whose next piece has found no room in a step, and how many tokens it needs. */
export interface Deferred {
  readonly sequence: Sequence;
  readonly tokens: number;
}

/**
 * Number of a prompt's pending tokens that one step computes; a threshold of 0 means no limit but
 * the budget.
 */
export function chunkSize(pending: number, budget: number, longPrefillThreshold: number): number {
  const limit = longPrefillThreshold > 0 ? Math.min(budget, longPrefillThreshold) : budget;
  return Math.min(pending, limit);
}

/**
 * Moves the end of a piece of a prompt out of a content whose tokens are computed together: to the
 * content's beginning, or, when the piece begins with it or in it, to its end.
 *
 *     tokens     ... text |<-- image -->| text ...
 *     wanted       [          ]              -> [    ]
 *     wanted              [   ]              -> [              ]
 *
 * A piece may begin inside of such a content, where what is before it was found in the cache: keys
 * and values there were computed with all of the content in sight, which enters their hash.
 *
 * @param begin first token of the piece
 * @param end behind its last one
 */
export function wholeEnd(contents: readonly PromptContent[], begin: number, end: number): number {
  const cut = contents.find(
    (content) => content.isBidirectional && content.start < end && end < content.end,
  );
  if (!cut) return end;
  return cut.start > begin ? cut.start : cut.end;
}

/** Most tokens that one step must compute together; 0 for contents that may be cut anywhere. */
export function mostTogether(contents: readonly PromptContent[]): number {
  const sizes = contents.map(({ start, end, isBidirectional }) =>
    isBidirectional ? end - start : 0,
  );
  return Math.max(0, ...sizes);
}
