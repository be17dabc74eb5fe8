import { automatonOf, type Work } from './automaton.js';
import type { Expression } from './expression.js';
import { parseRegex } from './regex.js';

/** Number of patterns whose matchers are kept. */
const MAX_KEPT = 200;

const kept = new Map<string, (text: string) => boolean>();

/**
 * Whether a client's pattern matches anywhere in a text. Takes time linear in the text's length;
 * JavaScript's own engine may take forever.
 *
 * @param where the pattern's position, for the message
 * @param work the work that the schema's patterns have cost
 * @throws OctavoError `invalid_request` for a pattern that is not regular, or too large
 */
export function matchesPattern(pattern: string, text: string, where: string, work: Work): boolean {
  let matches = kept.get(pattern);
  if (!matches) {
    matches = matcherOf(parseRegex(pattern, 'anywhere', where), work);
    if (kept.size >= MAX_KEPT) kept.clear();
    kept.set(pattern, matches);
  }
  return matches(text);
}

/** @returns a function that tells whether a whole text belongs to the language */
export function matcherOf(expression: Expression, work?: Work): (text: string) => boolean {
  const { states } = automatonOf(expression, work);
  return (text) => {
    let state = states[0];
    for (const byte of Buffer.from(text)) {
      const move = state.moves.find(({ ranges }) =>
        ranges.some(([first, last]) => first <= byte && byte <= last),
      );
      if (!move) return false;
      state = states[move.target];
    }
    return state.isFinal;
  };
}
