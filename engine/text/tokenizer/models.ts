import * as library from '@huggingface/tokenizers';
import type { Component } from './component.js';

/** Returns the tokens of one word from a pre-tokenizer. */
export type WordModel = (word: string) => number[];

/**
 * The part of the library's models that is used. Its own declarations do not resolve under
 * `nodenext`.
 */
interface LibraryModel {
  encode(words: readonly string[]): string[];
}

interface Library {
  readonly BPE: new (model: unknown) => LibraryModel;
  readonly Unigram: new (model: unknown, eosToken: string) => LibraryModel;
  readonly WordPiece: new (model: unknown) => LibraryModel;
}

const { BPE, Unigram, WordPiece } = library as unknown as Library;

/**
 * The algorithm that splits words into tokens.
 *
 * @param idOf the model's vocabulary
 * @throws OctavoError `model_unsupported`
 */
export function createModel(
  part: Component,
  json: unknown,
  idOf: ReadonlyMap<string, number>,
): WordModel {
  switch (part.type) {
    case 'BPE':
      return bpe(part, json, idOf);
    case 'Unigram':
      return unigram(part, json, idOf);
    case 'WordPiece': {
      const model = new WordPiece(json);
      return (word) => known(model.encode([word]), idOf);
    }
    default:
      throw part.unsupported();
  }
}

function bpe(part: Component, json: unknown, idOf: ReadonlyMap<string, number>): WordModel {
  if (Number(part.raw('dropout') ?? 0) !== 0) throw part.unsupported('with dropout');
  for (const field of ['continuing_subword_prefix', 'end_of_word_suffix']) {
    if (part.text(field, '') !== '') throw part.unsupported(`with ${field}`);
  }
  const model = new BPE(json);
  const unknown = part.has('unk_token') ? idOf.get(part.text('unk_token')) : undefined;
  const fuses = part.flag('fuse_unk', false);
  return (word) => {
    const ids = known(model.encode([word]), idOf);
    return fuses ? ids.filter((id, i) => id !== unknown || ids[i - 1] !== unknown) : ids;
  };
}

/**
 * Kudo 2018. Unknown characters become byte tokens, if the vocabulary has these, or else one
 * unknown token for a run.
 */
function unigram(part: Component, json: unknown, idOf: ReadonlyMap<string, number>): WordModel {
  const unknown = part.has('unk_id') ? part.integer('unk_id') : null;
  if (unknown === null) throw part.unsupported('without unk_id');
  const model = new Unigram(json, '');
  const bytes = part.flag('byte_fallback', false) ? byteTokens(idOf) : null;
  return (word) => {
    const ids: number[] = [];
    let run = '';
    const endRun = (): void => {
      if (run === '') return;
      if (bytes) for (const byte of Buffer.from(run)) ids.push(bytes[byte]);
      else ids.push(unknown);
      run = '';
    };
    for (const piece of model.encode([word])) {
      const id = idOf.get(piece);
      if (id === undefined) {
        run += piece;
        continue;
      }
      endRun();
      ids.push(id);
    }
    endRun();
    return ids;
  };
}

/** Ids of `<0x00>` to `<0xFF>`; null unless all exist. */
export function byteTokens(idOf: ReadonlyMap<string, number>): number[] | null {
  const ids = Array.from({ length: 256 }, (_, byte) =>
    idOf.get(`<0x${byte.toString(16).toUpperCase().padStart(2, '0')}>`),
  );
  return ids.every((id) => id !== undefined) ? ids : null;
}

function known(tokens: readonly string[], idOf: ReadonlyMap<string, number>): number[] {
  return tokens.map((token) => idOf.get(token)).filter((id) => id !== undefined);
}
