import { join } from 'node:path';
import { type Static, Type } from 'typebox';
import { readModelJson } from '../model-files.js';
import type { AddedToken } from './added-tokens.js';
import { Component } from './component.js';
import { createWriter } from './decoder.js';
import { createNormalizer } from './normalizers.js';
import { type TokenTable, tabulate } from './token-table.js';

const Part = Type.Optional(Type.Unknown());

const TokenizerFileSchema = Type.Object({
  model: Type.Object({
    /** Old files omit it. */
    type: Type.Optional(Type.String()),
    unk_id: Type.Optional(Type.Union([Type.Integer(), Type.Null()])),
    unk_token: Type.Optional(Type.Union([Type.String(), Type.Null()])),
    vocab: Type.Union([
      Type.Record(Type.String(), Type.Integer({ minimum: 0 })),
      // Unigram: text and score.
      Type.Array(Type.Tuple([Type.String(), Type.Number()])),
    ]),
  }),
  normalizer: Part,
  pre_tokenizer: Part,
  post_processor: Part,
  decoder: Part,
  added_tokens: Type.Optional(
    Type.Array(
      Type.Object({
        id: Type.Integer({ minimum: 0 }),
        content: Type.String(),
        special: Type.Boolean(),
        single_word: Type.Optional(Type.Boolean()),
        lstrip: Type.Optional(Type.Boolean()),
        rstrip: Type.Optional(Type.Boolean()),
        normalized: Type.Optional(Type.Boolean()),
      }),
    ),
  ),
});

export type TokenizerFile = Static<typeof TokenizerFileSchema>;

/** Names and bytes of tokens: the part of a tokenizer.json that text and grammars share. */
export interface Vocabulary {
  /** The model's own entries, without added tokens. */
  readonly ofModel: ReadonlyMap<string, number>;
  readonly added: readonly AddedToken[];
  /** Entries by id, in the file's spelling; undefined where an id has none. */
  readonly entries: readonly (string | undefined)[];
  readonly special: ReadonlySet<number>;
  readonly normalizer: Component | null;
  readonly normalize: (text: string) => string;
  readonly table: TokenTable;
}

/** @throws OctavoError `model_file_missing`, `model_file_corrupt` */
export async function readTokenizerFile(dir: string): Promise<TokenizerFile> {
  const file = await readModelJson(dir, 'tokenizer.json', TokenizerFileSchema, { required: true });
  return file as TokenizerFile;
}

/**
 * @param path path of the file, for messages
 * @throws OctavoError `model_unsupported`, `model_file_corrupt`
 */
export function readVocabulary(file: TokenizerFile, path: string): Vocabulary {
  const { vocab } = file.model;
  const ofModel = new Map(
    Array.isArray(vocab) ? vocab.map(([text], id) => [text, id]) : Object.entries(vocab),
  );
  const normalizer = partOf(file, 'normalizer', path);
  const normalize = normalizer === null ? (text: string) => text : createNormalizer(normalizer);
  const added = (file.added_tokens ?? []).map((token) => ({
    id: token.id,
    content: token.content,
    special: token.special,
    singleWord: token.single_word ?? false,
    lstrip: token.lstrip ?? false,
    rstrip: token.rstrip ?? false,
    normalized: token.normalized ?? !token.special,
  }));
  const entries: (string | undefined)[] = [];
  for (const [token, id] of ofModel) entries[id] = token;
  // Added tokens are shown literally.
  for (const { content, id, normalized } of added) {
    entries[id] = normalized ? normalize(content) : content;
  }
  const isByteLevel = JSON.stringify(file.decoder ?? null).includes('"ByteLevel"');
  // Added tokens are written as plain text, not in the alphabet of bytes.
  const plain = new Set(isByteLevel ? added.map(({ id }) => id) : []);
  const table = tabulate(entries, createWriter(partOf(file, 'decoder', path)), plain);
  const special = new Set(added.filter((token) => token.special).map((token) => token.id));
  return { ofModel, added, entries, special, normalizer, normalize, table };
}

/** A part of the pipeline; null when the file has none. */
export function partOf(
  file: TokenizerFile,
  name: 'normalizer' | 'pre_tokenizer' | 'post_processor' | 'decoder',
  path: string,
): Component | null {
  const part = file[name];
  return part === undefined || part === null ? null : new Component(part, `${path}: ${name}`);
}

const NOTHING = new Uint8Array(0);

/**
 * Bytes of each token inside a text, for grammars, which constrain the text as it is shown. Empty
 * for tokens that a grammar never allows: special ones, and ids without an entry.
 *
 * @param size number of logits
 * @throws OctavoError `model_file_missing`, `model_file_corrupt`, `model_unsupported`
 */
export async function readTokenBytes(dir: string, size: number): Promise<readonly Uint8Array[]> {
  const path = join(dir, 'tokenizer.json');
  const { table, special } = readVocabulary(await readTokenizerFile(dir), path);
  return Array.from({ length: size }, (_, id) =>
    special.has(id) ? NOTHING : (table.inside[id] ?? NOTHING),
  );
}
