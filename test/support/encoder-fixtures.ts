import { cpSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { modelDir } from './model-dir.js';

const [MODELS, CHECKPOINTS] = ['models', 'checkpoints'].map((name) =>
  fileURLToPath(new URL(`../fixtures/encoders/${name}`, import.meta.url)),
);

/** What sentence-transformers says: see test/fixtures/encoders/make.py. */
export interface EncoderGolden {
  readonly texts: readonly string[];
  /** Tokens of each text before it is cut. */
  readonly tokens: readonly number[];
  /** By the name of a prompt; '' for none. */
  readonly embeddings: ReadonlyMap<string, readonly Float32Array[]>;
}

export interface RerankerGolden {
  readonly pairs: readonly (readonly [string, string])[];
  /** Between 0 and 1. */
  readonly scores: Float32Array;
  readonly logits: Float32Array;
}

/** What transformers says of the weights of a checkpoint: test/fixtures/encoders/checkpoints.py. */
export interface CheckpointGolden {
  readonly texts: readonly string[];
  readonly embeddings: readonly Float32Array[];
  /** Of a reranker, in the place of texts. */
  readonly pairs: readonly (readonly [string, string])[];
  readonly logits: Float32Array;
}

/** Where an encoder says how long its texts may be. */
const LENGTHS = [
  ['config.json', 'max_position_embeddings'],
  ['sentence_bert_config.json', 'max_seq_length'],
  ['tokenizer_config.json', 'model_max_length'],
] as const;

/**
 * A directory with an encoder's safetensors, and no ONNX file.
 *
 * @param longest tokens of its texts; absent: as its files say
 */
export function encoderCheckpointDir(name: string, longest?: number): string {
  const dir = modelDir({});
  cpSync(join(MODELS, name), dir, { recursive: true });
  for (const other of ['onnx', 'golden.json']) rmSync(join(dir, other), { recursive: true });
  cpSync(join(CHECKPOINTS, name, 'model.safetensors'), join(dir, 'model.safetensors'));
  for (const [file, key] of longest === undefined ? [] : LENGTHS) {
    const path = join(dir, file);
    const values = JSON.parse(readFileSync(path, 'utf8')) as object;
    writeFileSync(path, JSON.stringify({ ...values, [key]: longest }));
  }
  return dir;
}

export function readCheckpointGolden(name: string): CheckpointGolden {
  const golden = JSON.parse(readFileSync(join(CHECKPOINTS, name, 'golden.json'), 'utf8')) as {
    texts?: string[];
    embeddings?: string;
    pairs?: [string, string][];
    logits?: string;
  };
  const { texts = [], embeddings = '', pairs = [], logits = '' } = golden;
  const vectors = texts.length > 0 ? rows(embeddings, texts.length) : [];
  return { texts, embeddings: vectors, pairs, logits: floats(logits) };
}

export const encoderDir = (name: string): string => join(MODELS, name);

export function readEncoderGolden(name: string): EncoderGolden {
  const golden = readGolden(name) as Record<string, unknown> & Omit<EncoderGolden, 'embeddings'>;
  const embeddings = Object.entries(golden).flatMap(([key, value]) => {
    const [, prompt] = /^embeddings\.?(.*)$/.exec(key) ?? [];
    return prompt === undefined
      ? []
      : [[prompt, rows(value as string, golden.texts.length)] as const];
  });
  return { texts: golden.texts, tokens: golden.tokens, embeddings: new Map(embeddings) };
}

export function readRerankerGolden(name: string): RerankerGolden {
  const { pairs, scores, logits } = readGolden(name) as Record<'scores' | 'logits', string> &
    Pick<RerankerGolden, 'pairs'>;
  return { pairs, scores: floats(scores), logits: floats(logits) };
}

function readGolden(name: string): unknown {
  return JSON.parse(readFileSync(join(encoderDir(name), 'golden.json'), 'utf8'));
}

function floats(base64: string): Float32Array {
  const { buffer } = Uint8Array.from(Buffer.from(base64, 'base64'));
  return new Float32Array(buffer);
}

function rows(base64: string, count: number): Float32Array[] {
  const all = floats(base64);
  const width = all.length / count;
  return Array.from({ length: count }, (_, i) => all.slice(i * width, (i + 1) * width));
}

/** Of two vectors, or lists of numbers. */
export function worstDifference(actual: ArrayLike<number>, expected: ArrayLike<number>): number {
  if (actual.length !== expected.length) return Number.POSITIVE_INFINITY;
  return Math.max(...Array.from(expected, (value, i) => Math.abs(value - actual[i])));
}
