import type { TokenId } from '../../scheduler/ids.js';
import type { Detokenizer } from './tokenizer.js';

/** A few suffice: only the first token of a window can look like a beginning. */
const PREFIX_TOKENS = 8;

export interface PrefixSource {
  /** Whether a token has no text (special, unknown). It must not open a window: what follows would look like a beginning. */
  isSkipped(id: TokenId): boolean;
  /** Text of a sequence. */
  decode(ids: readonly TokenId[]): string;
  /** The byte of a byte-fallback token such as `<0xE2>`, or null. */
  byteOf(id: TokenId): number | null;
}

/**
 * Streams tokens whose text depends on their neighbours (a leading space that the first word drops, for instance). Two
 * windows are decoded, from the same start, and the new text is their difference:
 *
 *     ids:  ... [prefix ........ read) [read ........ end)
 *               ^ decoded: before      ^ decoded with it: after      new text = after - before
 *
 * Text is held back only while the newest tokens are bytes of a character that is not complete.
 */
export class PrefixDetokenizer implements Detokenizer {
  readonly #source: PrefixSource;
  /** From the window's start on; what lies before can no longer change the text. */
  #window: TokenId[] = [];
  #read = 0;

  /** @param before tokens that the text goes on behind; they are the first window's prefix */
  constructor(source: PrefixSource, before: readonly TokenId[] = []) {
    this.#source = source;
    this.#window = before.slice(-PREFIX_TOKENS).filter((id) => !source.isSkipped(id));
    // Half a character is no text to go on behind.
    if (this.#endsInsideCharacter()) this.#window = [];
    this.#read = this.#window.length;
  }

  push(id: TokenId): string {
    if (this.#source.isSkipped(id)) return '';
    this.#window.push(id);
    return this.#endsInsideCharacter() ? '' : this.flush();
  }

  flush(): string {
    const before = this.#source.decode(this.#window.slice(0, this.#read));
    const after = this.#source.decode(this.#window);
    this.#window = this.#window.slice(this.#read);
    this.#read = this.#window.length;
    return after.slice(before.length);
  }

  #endsInsideCharacter(): boolean {
    // A lead byte is at most three bytes before the end of an incomplete character.
    for (let back = 1; back <= Math.min(4, this.#window.length); back++) {
      const byte = this.#source.byteOf(this.#window.at(-back) as TokenId);
      if (byte === null || byte < 0x80) return false;
      if (byte >= 0xc0) return back < utf8Length(byte);
    }
    return false;
  }
}

function utf8Length(leadByte: number): number {
  if (leadByte >= 0xf0) return 4;
  return leadByte >= 0xe0 ? 3 : 2;
}
