import type { TokenId } from '../../scheduler/ids.js';
import { toBytes } from './language/bytes.js';

/** A text that spells longer than this in one token is spelled in several. */
const LONGEST = 32;

/**
 * Spells texts in tokens: from the left, always the longest that fits. A tokenizer mostly does the
 * same with keys, punctuation and words of JSON; where it does not, the spelling is a wrong guess.
 */
export class Speller {
  /** By bytes, as characters of a code below 256. */
  readonly #tokens = new Map<string, TokenId>();
  #longest = 0;

  /** @param tokens bytes by token id; an empty one spells nothing */
  constructor(tokens: readonly Uint8Array[]) {
    for (const [id, bytes] of tokens.entries()) {
      if (bytes.length === 0 || bytes.length > LONGEST) continue;
      const key = Buffer.from(bytes).toString('latin1');
      if (!this.#tokens.has(key)) this.#tokens.set(key, id as TokenId);
      this.#longest = Math.max(this.#longest, bytes.length);
    }
  }

  /**
   * @param symbols in the grammar library's notation
   * @param most tokens at most
   * @returns tokens of its beginning, as far as there are any
   */
  spell(symbols: string, most: number): TokenId[] {
    const text = Buffer.from(toBytes(symbols)).toString('latin1');
    const spelled: TokenId[] = [];
    for (let at = 0; at < text.length && spelled.length < most; ) {
      let length = Math.min(this.#longest, text.length - at);
      while (length > 0 && !this.#tokens.has(text.slice(at, at + length))) length -= 1;
      if (length === 0) break;
      spelled.push(this.#tokens.get(text.slice(at, at + length)) as TokenId);
      at += length;
    }
    return spelled;
  }
}
