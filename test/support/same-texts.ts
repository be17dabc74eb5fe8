import { expect } from 'vitest';
import type { SequenceOutput } from '../../engine/protocol/outputs.js';

/** Outputs by sequence, with the log-probabilities of two tokens each. */
export type Texts = ReadonlyMap<string, readonly SequenceOutput[]>;

/** Difference of log-probabilities up to which float16 may choose another token. */
const MARGIN = 0.1;

const rowsOf = (outputs: readonly SequenceOutput[] = []) =>
  outputs.flatMap(({ tokenIds, logprobs = [] }) =>
    tokenIds.map((token, i) => ({ token, ...logprobs[i] })),
  );

/**
 * Expects equal tokens, up to the first for which the model itself had no clear choice, and half of
 * all tokens at least.
 *
 * @param named the name in `expected` of a sequence
 */
export function expectSameTexts(
  actual: Texts,
  expected: Texts,
  length: number,
  named: (id: string) => string = (id) => id,
): void {
  expect(actual.size).toBeGreaterThan(0);
  let compared = 0;
  for (const [id, outputs] of actual) {
    const [own, theirs] = [rowsOf(outputs), rowsOf(expected.get(named(id)))];
    for (const [i, { token, topLogprobs = [] }] of theirs.entries()) {
      if (own[i]?.token !== token) {
        expect(topLogprobs[0] - topLogprobs[1]).toBeLessThan(MARGIN);
        break;
      }
      compared += 1;
    }
  }
  expect(compared).toBeGreaterThan((actual.size * length) / 2);
}
