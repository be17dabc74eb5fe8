import { join } from 'node:path';
import { type Static, Type } from 'typebox';
import { clip } from '../clip.js';
import { OctavoError } from '../errors.js';
import type { ScoreActivation } from '../protocol/encoding.js';
import { readModelJson } from '../text/model-files.js';

const Whole = Type.Optional(Type.Union([Type.Integer({ minimum: 0 }), Type.Null()]));

const ConfigSchema = Type.Object({
  model_type: Type.Optional(Type.String()),
  architectures: Type.Optional(Type.Union([Type.Array(Type.String()), Type.Null()])),
  vocab_size: Whole,
  max_position_embeddings: Whole,
  n_positions: Whole,
  pad_token_id: Whole,
  sbert_ce_default_activation_function: Type.Optional(Type.Union([Type.String(), Type.Null()])),
  sentence_transformers: Type.Optional(
    Type.Union([Type.Object({ activation_fn: Type.Optional(Type.String()) }), Type.Null()]),
  ),
});

/** Of sentence-transformers' first module. */
const SentenceSchema = Type.Object({
  max_seq_length: Whole,
  do_lower_case: Type.Optional(Type.Union([Type.Boolean(), Type.Null()])),
});

const TokenizerSchema = Type.Object({ model_max_length: Type.Optional(Type.Number()) });

/** What an encoder's files say of it, besides its graph. */
export interface EncoderConfig {
  /** Path of config.json, for messages. */
  readonly file: string;
  /** As the files have it: `BertModel`. */
  readonly architecture: string;
  readonly vocabSize: number;
  /** Tokens of a text, special ones included, at most. */
  readonly maxLength: number;
  /** Fills rows up; it is masked. */
  readonly padTokenId: number;
  /** What makes a score of a classifier's logit. */
  readonly activation: ScoreActivation;
}

/**
 * Architectures whose positions begin behind the padding token's, so that so many of their table
 * are never reached.
 */
const SHIFTED_POSITIONS = new Set(['roberta', 'xlm-roberta', 'camembert', 'mpnet']);

/** The names in config.json's `architectures`. */
export async function readArchitectures(modelDir: string): Promise<readonly string[]> {
  const config = await readModelJson(modelDir, 'config.json', ConfigSchema, { required: false });
  return config?.architectures ?? [];
}

/**
 * Reads config.json, and the length of texts as sentence-transformers does: its own
 * `max_seq_length`, else the tokenizer's, neither longer than the model's positions.
 *
 * @throws OctavoError `model_file_missing`, `model_file_corrupt`, `model_unsupported`
 */
export async function readEncoderConfig(modelDir: string): Promise<EncoderConfig> {
  const file = join(modelDir, 'config.json');
  const config = await readModelJson(modelDir, 'config.json', ConfigSchema, { required: true });
  const sentence = await readModelJson(modelDir, 'sentence_bert_config.json', SentenceSchema, {
    required: false,
  });
  const tokenizer = await readModelJson(modelDir, 'tokenizer_config.json', TokenizerSchema, {
    required: false,
  });
  if (sentence?.do_lower_case) {
    const what = 'do_lower_case, which lowers texts before they are tokenized, is not supported';
    throw new OctavoError('model_unsupported', `${modelDir}/sentence_bert_config.json: ${what}`);
  }
  const { vocab_size: vocabSize = null, pad_token_id: padTokenId = null } = config ?? {};
  if (vocabSize === null) {
    throw new OctavoError('model_file_corrupt', `${file}: vocab_size must be stated`);
  }
  const lengths = [
    positionsOf(config ?? {}),
    sentence?.max_seq_length ?? tokenizer?.model_max_length ?? null,
  ].filter((length) => length !== null);
  const maxLength = Math.min(...lengths);
  // Where nothing limits it, transformers writes a number of thirty digits.
  if (!Number.isSafeInteger(maxLength) || maxLength < 1) {
    const keys = 'max_position_embeddings, or max_seq_length in sentence_bert_config.json';
    throw new OctavoError(
      'model_file_corrupt',
      `${file}: the length of texts must be stated: ${keys}`,
    );
  }
  return {
    file,
    architecture: config?.architectures?.[0] ?? config?.model_type ?? 'unknown',
    vocabSize,
    maxLength,
    padTokenId: padTokenId ?? 0,
    activation: activationOf(file, config ?? {}),
  };
}

/** As sentence-transformers' CrossEncoder: what the file says, else a sigmoid. */
function activationOf(file: string, config: Static<typeof ConfigSchema>): ScoreActivation {
  const stated =
    config.sentence_transformers?.activation_fn ?? config.sbert_ce_default_activation_function;
  const name = stated?.split('.').at(-1) ?? 'Sigmoid';
  if (name === 'Sigmoid') return 'sigmoid';
  if (name === 'Identity') return 'identity';
  const message = `${file}: the activation ${clip(name)} is not supported; Sigmoid and Identity are`;
  throw new OctavoError('model_unsupported', message);
}

function positionsOf(config: Static<typeof ConfigSchema>): number | null {
  const positions = config.max_position_embeddings ?? config.n_positions ?? null;
  if (positions === null) return null;
  const isShifted = SHIFTED_POSITIONS.has(config.model_type ?? '');
  return isShifted ? positions - (config.pad_token_id ?? 1) - 1 : positions;
}
