import { join } from 'node:path';
import { Tokenizer as LibraryTokenizer } from '@huggingface/tokenizers';
import { Type } from 'typebox';
import { OctavoError } from '../../engine/errors.js';
import type { TokenId } from '../../scheduler/ids.js';
import { ByteLevelDetokenizer, type ByteTable, bytesOfToken, decodeBytes } from './byte-level.js';
import { readModelJson } from './model-files.js';
import { PrefixDetokenizer, type PrefixSource } from './prefix-detokenizer.js';
import type { Detokenizer, DetokenizerOptions, Tokenizer } from './tokenizer.js';

interface DecodeOptions {
  readonly skip_special_tokens: boolean;
  readonly clean_up_tokenization_spaces: boolean;
}

/**
 * Text is what the tokens say. The library's clean-up would take back a space when a "!" follows it, which a stream cannot
 * do, and it changes code.
 */
const AS_IS: DecodeOptions = { skip_special_tokens: false, clean_up_tokenization_spaces: false };

/** The part of the library that is used; its own declarations do not resolve under `nodenext`. */
interface Library {
  encode(text: string, options: { add_special_tokens: boolean }): { ids: number[] };
  decode(ids: readonly number[], options: DecodeOptions): string;
  token_to_id(token: string): number | undefined;
  id_to_token(id: number): string | undefined;
  get_vocab(withAddedTokens: boolean): Map<string, number>;
}

const TypedLibrary = LibraryTokenizer as new (file: unknown, config: unknown) => Library;

const DecoderSchema = Type.Object({
  type: Type.String(),
  decoders: Type.Optional(Type.Array(Type.Object({ type: Type.String() }))),
});

const TokenizerFileSchema = Type.Object({
  model: Type.Object({}),
  decoder: Type.Optional(Type.Union([DecoderSchema, Type.Null()])),
  added_tokens: Type.Optional(
    Type.Array(
      Type.Object({ id: Type.Integer(), content: Type.String(), special: Type.Boolean() }),
    ),
  ),
});

/**
 * Loads `tokenizer.json` and `tokenizer_config.json` of a model directory.
 *
 * @throws OctavoError `model_file_missing`, `model_file_corrupt`, naming the file
 */
export async function loadTokenizer(dir: string): Promise<Tokenizer> {
  const file = await readModelJson(dir, 'tokenizer.json', TokenizerFileSchema, { required: true });
  const config = await readModelJson(dir, 'tokenizer_config.json', Type.Object({}), {
    required: true,
  });
  const path = join(dir, 'tokenizer.json');
  try {
    const library = new TypedLibrary(file, config);
    const added = file?.added_tokens ?? [];
    const special = new Set(added.filter((token) => token.special).map((token) => token.id));
    const decoders = file?.decoder ? [file.decoder, ...(file.decoder.decoders ?? [])] : [];
    if (!decoders.some((decoder) => decoder.type === 'ByteLevel')) {
      return new NeighbourTokenizer(library, special);
    }
    const table: (Uint8Array | undefined)[] = [];
    for (const [token, id] of library.get_vocab(true)) table[id] = bytesOfToken(token);
    // Added tokens are written as plain text, not in the alphabet of bytes.
    for (const token of added) table[token.id] = Buffer.from(token.content);
    return new ByteLevelTokenizer(library, table, special);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new OctavoError('model_file_corrupt', `${path} is not a usable tokenizer: ${reason}`, {
      param: path,
      cause: error,
    });
  }
}

const NO_BYTES = new Uint8Array(0);

abstract class HfTokenizer implements Tokenizer {
  protected readonly library: Library;
  protected readonly special: ReadonlySet<number>;

  constructor(library: Library, special: ReadonlySet<number>) {
    this.library = library;
    this.special = special;
  }

  encode(text: string, options: { addSpecialTokens: boolean }): TokenId[] {
    const { ids } = this.library.encode(text, { add_special_tokens: options.addSpecialTokens });
    return ids as TokenId[];
  }

  tokenId(token: string): TokenId | undefined {
    return this.library.token_to_id(token) as TokenId | undefined;
  }

  decode(ids: readonly TokenId[], options: { skipSpecialTokens: boolean }): string {
    const shown = options.skipSpecialTokens ? ids.filter((id) => !this.special.has(id)) : ids;
    return this.textOf(shown);
  }

  protected isSkipped(id: TokenId, { skipSpecialTokens, shown }: DetokenizerOptions): boolean {
    return skipSpecialTokens && this.special.has(id) && shown?.has(id) !== true;
  }

  protected abstract textOf(ids: readonly TokenId[]): string;
  abstract createDetokenizer(options: DetokenizerOptions): Detokenizer;
  entryOf(id: TokenId): string {
    return this.library.id_to_token(id) ?? '';
  }

  abstract bytesOf(id: TokenId): Uint8Array;
  abstract readonly longestToken: number;
}

/** Byte-level BPE: each token is bytes, whatever stands around it. */
class ByteLevelTokenizer extends HfTokenizer {
  readonly longestToken: number;
  readonly #table: ByteTable;

  constructor(library: Library, table: ByteTable, special: ReadonlySet<number>) {
    super(library, special);
    this.#table = table;
    // A unit is one byte at least.
    this.longestToken = table.reduce((most, bytes) => Math.max(most, bytes?.length ?? 0), 1);
  }

  protected textOf(ids: readonly TokenId[]): string {
    return decodeBytes(this.#table, ids);
  }

  createDetokenizer(options: DetokenizerOptions): Detokenizer {
    return new ByteLevelDetokenizer(this.#table, (id) => this.isSkipped(id, options));
  }

  bytesOf(id: TokenId): Uint8Array {
    return this.#table[id] ?? NO_BYTES;
  }
}

/** All others (SentencePiece, WordPiece): a token's text depends on its neighbours. */
class NeighbourTokenizer extends HfTokenizer {
  readonly longestToken = Number.POSITIVE_INFINITY;
  /** Found so far: decoding costs the library some 10 us, and log-probabilities ask for up to 21 tokens at each place. */
  readonly #bytes = new Map<TokenId, Uint8Array>();

  protected textOf(ids: readonly TokenId[]): string {
    const known = ids.filter((id) => this.library.id_to_token(id) !== undefined);
    // The library refuses an empty sequence.
    return known.length === 0 ? '' : this.library.decode(known, AS_IS);
  }

  createDetokenizer(options: DetokenizerOptions): Detokenizer {
    const source: PrefixSource = {
      isSkipped: (id) => this.isSkipped(id, options) || this.library.id_to_token(id) === undefined,
      decode: (ids) => this.textOf(ids),
      byteOf: (id) => this.#byteOf(id),
    };
    return new PrefixDetokenizer(source, options.before);
  }

  /** A first token may lose its leading space. As the second of two it keeps it, and the first is cut off. */
  bytesOf(id: TokenId): Uint8Array {
    const known = this.#bytes.get(id);
    if (known) return known;
    const byte = this.#byteOf(id);
    const bytes =
      byte === null
        ? Buffer.from(this.textOf([id, id]).slice(this.textOf([id]).length))
        : Uint8Array.of(byte);
    // At most one entry for each id of the vocabulary.
    if (bytes.length > 0) this.#bytes.set(id, bytes);
    return bytes;
  }

  /** The byte of a fallback token such as `<0xE2>`. */
  #byteOf(id: TokenId): number | null {
    const match = /^<0x([0-9A-F]{2})>$/i.exec(this.library.id_to_token(id) ?? '');
    return match?.[1] === undefined ? null : Number.parseInt(match[1], 16);
  }
}
