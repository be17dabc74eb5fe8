import { join } from 'node:path';
import type { TokenId } from '../../scheduler/ids.js';
import { OctavoError } from '../errors.js';
import { ByteLevelDetokenizer, decodeBytes } from './byte-level.js';
import { AddedTokens, NO_GUARD } from './tokenizer/added-tokens.js';
import { Component } from './tokenizer/component.js';
import { createModel, type WordModel } from './tokenizer/models.js';
import { type Frame, NO_FRAME, readFrame } from './tokenizer/post-processor.js';
import { createPreTokenizer, type PreTokenizer } from './tokenizer/pre-tokenizers.js';
import { keepsCharacters, knowsLongestToken } from './tokenizer/shrinking.js';
import type { TokenTable } from './tokenizer/token-table.js';
import {
  partOf,
  readTokenizerFile,
  readVocabulary,
  type TokenizerFile,
} from './tokenizer/vocabulary.js';
import type { Detokenizer, DetokenizerOptions, EncodeOptions, Tokenizer } from './tokenizer.js';

/**
 * Loads `tokenizer.json` of a model directory. Each part does what the Rust library does, or the
 * file is refused.
 *
 * @throws OctavoError `model_file_missing`, `model_file_corrupt`, `model_unsupported`: names the
 *   file
 */
export async function loadTokenizer(dir: string): Promise<Tokenizer> {
  const file = await readTokenizerFile(dir);
  const path = join(dir, 'tokenizer.json');
  try {
    return new HfTokenizer(file, path);
  } catch (error) {
    if (error instanceof OctavoError) throw error;
    const reason = error instanceof Error ? error.message : String(error);
    throw new OctavoError('model_file_corrupt', `${path} is not a usable tokenizer: ${reason}`, {
      param: path,
      cause: error,
    });
  }
}

const NO_BYTES = new Uint8Array(0);

/**
 * The pipeline of a tokenizer.json: added tokens, normalizer, pre-tokenizer, model, post-processor;
 * and its decoder as a table.
 */
class HfTokenizer implements Tokenizer {
  readonly addedTokens: ReadonlyMap<TokenId, boolean>;
  readonly vocabSize: number;
  readonly longestToken: number;
  readonly dropsSpace: boolean;
  readonly frame: Frame;
  readonly #addedTokens: AddedTokens;
  readonly #preTokenize: PreTokenizer;
  readonly #model: WordModel;
  readonly #entries: readonly (string | undefined)[];
  readonly #idOf: ReadonlyMap<string, number>;
  readonly #special: ReadonlySet<number>;
  /** The token for unknown words. */
  readonly #unknown: number | undefined;
  readonly #table: TokenTable;

  constructor(file: TokenizerFile, path: string) {
    const vocabulary = readVocabulary(file, path);
    const { ofModel, added, entries, normalizer, normalize } = vocabulary;
    const modelJson = { ...file.model, type: file.model.type ?? typeOf(file.model) };
    const idOf = new Map(ofModel);
    for (const { content, id } of added) idOf.set(content, id);
    const preTokenizer = partOf(file, 'pre_tokenizer', path);
    const postProcessor = partOf(file, 'post_processor', path);
    // If the normalizer has removed the beginning of a text, the Rust library treats no piece as
    // the first.
    const looksForFirst = /"prepend_scheme":"first"/.test(
      JSON.stringify(file.pre_tokenizer ?? null),
    );
    if (normalizer && looksForFirst && !keepsCharacters(file.normalizer)) {
      throw normalizer.unsupported('before a Metaspace that marks the first word only');
    }
    this.#model = createModel(new Component(modelJson, `${path}: model`), modelJson, ofModel);
    this.#addedTokens = new AddedTokens(added, normalize);
    this.#preTokenize =
      preTokenizer === null ? (piece) => [piece] : createPreTokenizer(preTokenizer);
    this.frame = postProcessor === null ? NO_FRAME : readFrame(postProcessor);
    this.#entries = entries;
    this.#idOf = idOf;
    this.#special = vocabulary.special;
    this.addedTokens = new Map(added.map(({ id, special }) => [id as TokenId, special]));
    const { unk_id: unknownId, unk_token: unknownToken } = file.model;
    this.#unknown = unknownId ?? idOf.get(unknownToken ?? '');
    this.vocabSize = entries.length;

    this.#table = vocabulary.table;
    this.dropsSpace = added.some(({ lstrip, rstrip }) => lstrip || rstrip);
    this.longestToken = knowsLongestToken(file, ofModel)
      ? this.#table.longest
      : Number.POSITIVE_INFINITY;
  }

  encode(text: string, options: EncodeOptions): TokenId[] {
    const ids: number[] = options.addSpecialTokens ? [...this.frame.before] : [];
    const { guard = NO_GUARD } = options;
    // Half of a surrogate pair has no UTF-8.
    for (const section of this.#addedTokens.split(text.replace(/\p{Cs}/gu, '\uFFFD'), guard)) {
      if ('id' in section) {
        ids.push(section.id);
        continue;
      }
      const isClient = section.client.length > 0;
      for (const word of this.#preTokenize(section)) {
        const found = this.#model(word.text);
        // Control tokens are also in the vocabulary, where some models look up whole words.
        const isForged =
          isClient && found.some((id) => guard.control.has(id) && id !== this.#unknown);
        const parts = isForged ? Array.from(word.text).flatMap(this.#model) : found;
        for (const id of parts) ids.push(id);
      }
    }
    if (options.addSpecialTokens) ids.push(...this.frame.after);
    return ids as TokenId[];
  }

  decode(ids: readonly TokenId[], options: { skipSpecialTokens: boolean }): string {
    const shown = options.skipSpecialTokens ? ids.filter((id) => !this.#special.has(id)) : ids;
    return decodeBytes(this.#table.inside, shown, this.#table.opening);
  }

  createDetokenizer(options: DetokenizerOptions): Detokenizer {
    const { skipSpecialTokens, shown, before = [], opens = true } = options;
    const isSkipped = (id: TokenId): boolean =>
      skipSpecialTokens && this.#special.has(id) && shown?.has(id) !== true;
    const isBehind = before.some((id) => !isSkipped(id) && this.bytesOf(id).length > 0);
    const { inside } = this.#table;
    const opening = isBehind || !opens ? inside : this.#table.opening;
    return new ByteLevelDetokenizer(inside, { isSkipped, opening });
  }

  bytesOf(id: TokenId): Uint8Array {
    return this.#table.inside[id] ?? NO_BYTES;
  }

  tokenId(token: string): TokenId | undefined {
    return this.#idOf.get(token) as TokenId | undefined;
  }

  entryOf(id: TokenId): string {
    return this.#entries[id] ?? '';
  }
}

/** The type of the model, which older files omit. */
function typeOf(model: TokenizerFile['model']): string {
  if (Array.isArray(model.vocab)) return 'Unigram';
  return 'merges' in model ? 'BPE' : 'WordPiece';
}
