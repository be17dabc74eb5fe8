import { NO_SPANS, type Spans, SpanWriter, spansWithin, touches } from '../spans.js';
import type { Guard } from '../tokenizer.js';
import type { Normalizer } from './normalizers.js';
import type { Piece } from './split.js';

/** A token that is found in the text itself, before the model runs. */
export interface AddedToken {
  readonly id: number;
  readonly content: string;
  readonly special: boolean;
  /** No letter, digit or underscore may be next to it. */
  readonly singleWord: boolean;
  /** White space on its left, or right, belongs to it. */
  readonly lstrip: boolean;
  readonly rstrip: boolean;
  /** Whether it is searched, in its normalized form, in the normalized text. */
  readonly normalized: boolean;
}

/** A piece of text for the model, or a token that was found. */
export type Section = Passage | { readonly id: number };

interface Passage extends Piece {
  /** Spans in which no control token is recognized. */
  readonly client: Spans;
}

export const NO_GUARD: Guard = { client: NO_SPANS, control: new Set() };

const WORD_AT_END = /[\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\p{Join_Control}]$/u;
const WORD_AT_START = /^[\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\p{Join_Control}]/u;
const SPACE = /\p{White_Space}/u;

/**
 * Finds added tokens in texts: first those that are matched literally, then, in the normalized
 * rest, the others.
 */
export class AddedTokens {
  readonly #plain: TokenTrie;
  readonly #normalized: TokenTrie;
  readonly #normalize: Normalizer;

  constructor(tokens: readonly AddedToken[], normalize: Normalizer) {
    this.#normalize = normalize;
    this.#plain = new TokenTrie();
    this.#normalized = new TokenTrie();
    for (const token of tokens) {
      if (token.normalized) this.#normalized.add(normalize(token.content), token);
      else this.#plain.add(token.content, token);
    }
  }

  /** Splits a text at its added tokens, and normalizes the parts in between. */
  split(text: string, { client, control }: Guard): Section[] {
    return cut({ text, opens: true, client }, this.#plain, control).flatMap((section) => {
      if ('id' in section) return [section];
      return cut(this.#normalizePassage(section), this.#normalized, control);
    });
  }

  #normalizePassage(section: Passage): Passage {
    const { text, client } = section;
    const whole = this.#normalize(text);
    if (client.length === 0 || this.#normalized.isEmpty) return { ...section, text: whole, client };
    if (whole === text) return section;
    // Normalizes run by run, to know where each run ends up. What a normalizer does at the ends of
    // a text (a prefix, stripping) must happen only at the ends of the whole, so a letter takes the
    // place of the adjacent runs.
    const ends = [...client.flatMap(({ start, end }) => [start, end]), text.length];
    const written = new SpanWriter();
    let start = 0;
    for (const end of ends) {
      const run = this.#between(text.slice(start, end), start > 0, end < text.length);
      const isClient = touches(client, start, end);
      written.push(run, isClient && run !== '' ? [{ start: 0, end: run.length }] : NO_SPANS);
      start = end;
    }
    // Stripping may extend beyond a run.
    const at = Math.max(0, written.text.indexOf(whole));
    const joined = written.text.includes(whole) ? whole : written.text;
    const spans = spansWithin(written.spans, at, at + joined.length);
    return { ...section, text: joined, client: spans };
  }

  #between(text: string, hasLeft: boolean, hasRight: boolean): string {
    if (text === '') return '';
    const left = hasLeft ? NEIGHBOR : '';
    const right = hasRight ? NEIGHBOR : '';
    const before = left === '' ? 0 : this.#normalize(left).length;
    const normalized = this.#normalize(left + text + right);
    return normalized.slice(before, normalized.length - right.length);
  }
}

/** A letter that no normalizer changes, or joins with adjacent characters. */
const NEIGHBOR = 'x';

function cut(
  { text, opens, client }: Passage,
  trie: TokenTrie,
  control: ReadonlySet<number>,
): Section[] {
  const sections: Section[] = [];
  /** End of the last token found, including its white space. */
  let done = 0;
  const takeText = (end: number): void => {
    if (end <= done) return;
    const within = spansWithin(client, done, end);
    sections.push({ text: text.slice(done, end), opens: opens && done === 0, client: within });
  };
  for (let at = 0; at < text.length; ) {
    const token = trie.longestAt(
      text,
      at,
      ({ id }, end) => !control.has(id) || !touches(client, at, end),
    );
    if (token === null) {
      at++;
      continue;
    }
    let start = at;
    let end = at + token.length;
    at = end;
    const { added } = token;
    if (added.singleWord && standsInWord(text, start, end)) continue;
    if (added.lstrip) while (start > done && SPACE.test(text[start - 1])) start--;
    if (added.rstrip) while (end < text.length && SPACE.test(text[end])) end++;
    takeText(start);
    sections.push({ id: added.id });
    done = end;
  }
  takeText(text.length);
  return sections;
}

function standsInWord(text: string, start: number, end: number): boolean {
  // A character has at most two units.
  return (
    WORD_AT_END.test(text.slice(Math.max(0, start - 2), start)) ||
    WORD_AT_START.test(text.slice(end, end + 2))
  );
}

interface Node {
  readonly next: Map<string, Node>;
  added: AddedToken | null;
}

/** A trie over UTF-16 units: models have up to thousands of added tokens. */
class TokenTrie {
  readonly #root: Node = { next: new Map(), added: null };

  get isEmpty(): boolean {
    return this.#root.next.size === 0;
  }

  add(content: string, added: AddedToken): void {
    if (content === '') return;
    let node = this.#root;
    for (const unit of content.split('')) {
      const next = node.next.get(unit) ?? { next: new Map<string, Node>(), added: null };
      node.next.set(unit, next);
      node = next;
    }
    node.added ??= added;
  }

  /** @param accepts whether a token that ends before `end` is allowed here */
  longestAt(
    text: string,
    start: number,
    accepts: (added: AddedToken, end: number) => boolean,
  ): { added: AddedToken; length: number } | null {
    let found: { added: AddedToken; length: number } | null = null;
    let node: Node | undefined = this.#root;
    for (let at = start; at < text.length; at++) {
      node = node.next.get(text[at]);
      if (node === undefined) break;
      if (node.added && accepts(node.added, at + 1))
        found = { added: node.added, length: at + 1 - start };
    }
    return found;
  }
}
