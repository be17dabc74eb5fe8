import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Type } from 'typebox';
import { Check } from 'typebox/value';
import { OctavoError } from '../errors.js';
import { toSymbols } from './language/bytes.js';

const TokenizerSchema = Type.Object({
  model: Type.Object({
    vocab: Type.Union([
      Type.Record(Type.String(), Type.Integer()),
      // Unigram: text and score.
      Type.Array(Type.Tuple([Type.String(), Type.Number()])),
    ]),
  }),
  decoder: Type.Unknown(),
  added_tokens: Type.Optional(
    Type.Array(
      Type.Object({ id: Type.Integer(), content: Type.String(), special: Type.Boolean() }),
    ),
  ),
});

/** What each token writes, by its id. Empty: a token that a grammar never allows, such as a special one. */
export type Vocabulary = readonly Uint8Array[];

const NOTHING = new Uint8Array(0);

/**
 * Reads the vocabulary of tokenizer.json: byte-level BPE, or SentencePiece with or without byte fallback.
 *
 * @param size of the logits
 * @throws OctavoError `model_file_missing`, `model_file_corrupt`
 */
export async function readVocabulary(modelDir: string, size: number): Promise<Vocabulary> {
  const path = join(modelDir, 'tokenizer.json');
  let file: unknown;
  try {
    file = JSON.parse(await readFile(path, 'utf8'));
  } catch (cause) {
    throw new OctavoError('model_file_corrupt', `${path} cannot be read`, { param: path, cause });
  }
  if (!Check(TokenizerSchema, file)) {
    throw new OctavoError('model_file_corrupt', `${path} has no vocabulary that is known`, {
      param: path,
    });
  }
  const { vocab } = file.model;
  const isByteLevel = JSON.stringify(file.decoder ?? null).includes('"ByteLevel"');
  const bytesOf = isByteLevel ? byteLevelBytes : pieceBytes;
  const vocabulary: Uint8Array[] = Array.from({ length: size }, () => NOTHING);
  const entries: Iterable<readonly [string, number]> = Array.isArray(vocab)
    ? vocab.map(([text], id) => [text, id] as const)
    : Object.entries(vocab);
  for (const [text, id] of entries) if (id < size) vocabulary[id] = bytesOf(text);
  for (const { id, content, special } of file.added_tokens ?? []) {
    if (id < size) vocabulary[id] = special ? NOTHING : Buffer.from(content);
  }
  return vocabulary;
}

/** GPT-2's alphabet: printable Latin-1 stands for itself, the other 68 bytes are U+0100 and up. */
const LETTER_OF_BYTE: readonly string[] = (() => {
  let shifted = 0x100;
  return Array.from({ length: 256 }, (_, byte) => {
    const isPrintable =
      (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae;
    return String.fromCodePoint(isPrintable ? byte : shifted++);
  });
})();

const BYTE_OF_LETTER: ReadonlyMap<string, number> = new Map(
  LETTER_OF_BYTE.map((letter, byte) => [letter, byte]),
);

const byteLevelBytes = (token: string): Uint8Array =>
  Uint8Array.from(
    Array.from(token).flatMap(
      (letter) => BYTE_OF_LETTER.get(letter) ?? Array.from(Buffer.from(letter)),
    ),
  );

/** SentencePiece: a word's beginning is a mark, and `<0xE2>` is a byte. `<unk>` writes nothing that is known. */
function pieceBytes(token: string): Uint8Array {
  const byte = /^<0x([0-9A-Fa-f]{2})>$/.exec(token);
  if (byte) return Uint8Array.of(Number.parseInt(byte[1], 16));
  return token === '<unk>' ? NOTHING : Buffer.from(token.replaceAll('▁', ' '));
}

/** The vocabulary in the library's symbols and in its byte-level notation. 0xff is in no text, and its symbols are DEL's. */
export const encodeVocabulary = (vocabulary: Vocabulary): string[] =>
  vocabulary.map((bytes) =>
    toSymbols(bytes.includes(0xff) ? NOTHING : bytes)
      .map((symbol) => LETTER_OF_BYTE[symbol])
      .join(''),
  );
