import {
  charactersOf,
  choiceOf,
  complement,
  EMPTY,
  type Expression,
  type Range,
  regular,
  repeat,
  sequence,
  text,
} from '../language/expression.js';
import { inQuotes } from './json-rules.js';

/**
 * Names other than these: parsers take the last of two members of the same name, so a repeated
 * declared member would escape its schema. Without escapes, each name has only one spelling, and a
 * trie of the names excludes them.
 */
export function nameExcept(names: readonly string[]): Expression {
  const root = new Trie();
  for (const name of names) root.add(Array.from(name));
  return regular(inQuotes(root.others()));
}

/** Code points that a JSON string must escape. */
const UNPLAIN: Range[] = [
  [0x00, 0x1f],
  [0x22, 0x22],
  [0x5c, 0x5c],
];
const PLAIN = charactersOf(complement(UNPLAIN));

class Trie {
  readonly #children = new Map<string, Trie>();
  #isName = false;

  add(name: readonly string[]): void {
    if (name.length === 0) {
      this.#isName = true;
      return;
    }
    const next = this.#children.get(name[0]) ?? new Trie();
    this.#children.set(name[0], next);
    next.add(name.slice(1));
  }

  /** All texts that complete no name from here on. */
  others(): Expression {
    const taken = [...this.#children.keys()].map(
      (c): Range => [c.codePointAt(0) ?? 0, c.codePointAt(0) ?? 0],
    );
    const ways = [
      sequence(charactersOf(complement([...UNPLAIN, ...taken])), repeat(PLAIN, 0, null)),
    ];
    for (const [character, next] of this.#children) {
      // A name with a character that needs an escape cannot be written here.
      if (!UNPLAIN.some(([first, last]) => inRange(character, first, last))) {
        ways.push(sequence(text(character), next.others()));
      }
    }
    if (!this.#isName) ways.push(EMPTY);
    return choiceOf(ways);
  }
}

const inRange = (character: string, first: number, last: number): boolean => {
  const point = character.codePointAt(0) ?? 0;
  return point >= first && point <= last;
};
