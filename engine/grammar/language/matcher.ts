import { automatonOf, type Work } from './automaton.js';
import type { Expression } from './expression.js';
import { parseRegex } from './regex.js';

/** Patterns whose matchers are kept. */
const MAX_KEPT = 200;

const kept = new Map<string, (text: string) => boolean>();

/**
 * Whether a text matches a client's pattern somewhere, in a time that grows with its length.
 * JavaScript's own way may take for ever.
 *
 * @param where it stands, for the message
 * @param work of the schema: what its patterns have cost
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

/** @returns whether a text is of the language, as a whole */
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
