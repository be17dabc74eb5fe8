import type { TokenId } from '../../scheduler/ids.js';
import type { TokenLogprobs } from '../protocol/outputs.js';

/** A token of the shown text. */
export interface ScoredToken {
  readonly id: TokenId;
  readonly logprobs: TokenLogprobs;
  /** Where its text begins, in code points from the beginning of the output. */
  readonly offset: number;
}

/**
 * Tokens that wait for their text. A token is released once text from its beginning on is shown, so
 * that
 *
 * - tokens that share a character are released with that character,
 * - a token whose end is held back as a possible stop string is released with its beginning,
 * - tokens inside a stop string are never released.
 */
export class HeldTokens {
  /** In order; `start` is in UTF-16 units and never falls. */
  #held: { readonly start: number; readonly token: ScoredToken }[] = [];
  #length = 0;
  #characters = 0;

  /** @param text the detokenizer's text for the token; '' while a character is incomplete */
  add(id: TokenId, logprobs: TokenLogprobs, text: string): void {
    const token = { id, logprobs, offset: this.#characters };
    this.#held.push({ start: this.#length, token });
    this.#length += text.length;
    this.#characters += countCharacters(text);
  }

  /** @param shown length of the text shown so far, in UTF-16 units */
  release(shown: number): ScoredToken[] {
    const end = this.#held.findIndex(({ start }) => start >= shown);
    return this.#take(end < 0 ? this.#held.length : end);
  }

  /** Releases the rest, when all text is shown. */
  flush(): ScoredToken[] {
    return this.#take(this.#held.length);
  }

  #take(count: number): ScoredToken[] {
    return this.#held.splice(0, count).map(({ token }) => token);
  }
}

/** Number of code points, in which OpenAI counts offsets. */
export function countCharacters(text: string): number {
  let count = text.length;
  for (let i = 1; i < text.length; i++) {
    const isLow = (text.charCodeAt(i) & 0xfc00) === 0xdc00;
    if (isLow && (text.charCodeAt(i - 1) & 0xfc00) === 0xd800) count--;
  }
  return count;
}
