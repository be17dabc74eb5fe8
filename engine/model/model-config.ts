import { access, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { isGgufFile } from '../checkpoint/gguf-files.js';
import { OctavoError } from '../errors.js';
import { ggufText } from '../gguf/model-text.js';
import { parsePythonJson } from '../python-json.js';

/**
 * What the engine reads from a model's `config.json`. The rest comes from the graph, which must
 * agree.
 */
export interface ModelConfig {
  /** Path of the file, for messages. */
  readonly file: string;
  /** Maximum length of prompt plus output that the model was trained for. */
  readonly maxPositionEmbeddings: number;
  /** Null when the file does not state it; so are the next ones. */
  readonly hiddenSize: number | null;
  readonly numLayers: number | null;
  readonly numHeads: number | null;
  readonly numKvHeads: number | null;
  readonly vocabSize: number | null;
  /**
   * From genai_config.json only: in config.json, families use such a number for different things.
   */
  readonly headSize: number | null;
}

/**
 * Names of sizes in different families: first Llama's and most others', then GPT-2's, MPT's,
 * BLOOM's and ONNX Runtime GenAI's.
 */
const KEYS = {
  length: [
    'max_position_embeddings',
    'n_positions',
    'max_seq_len',
    'n_ctx',
    'seq_length',
    'context_length',
  ],
  hidden: ['hidden_size', 'n_embd', 'd_model'],
  layers: ['num_hidden_layers', 'n_layer', 'n_layers', 'num_layers'],
  heads: ['num_attention_heads', 'n_head', 'n_heads', 'num_heads'],
  kvHeads: ['num_key_value_heads'],
  vocab: ['vocab_size', 'padded_vocab_size'],
} as const;

/**
 * Training lengths of families without positions or with ALiBi: they have no table of positions,
 * and state no length.
 */
const TRAINED_LENGTH = new Map([
  ['mamba2', 2048],
  ['bloom', 2048],
  ['falcon', 2048],
  ['gemma3_text', 131_072],
]);

/**
 * @throws OctavoError `model_file_missing`, `model_file_corrupt`: names the file and what is wrong
 *   with it
 */
export async function readModelConfig(modelDir: string): Promise<ModelConfig> {
  const { file, config } = await readSizes(modelDir);
  const size = (keys: readonly string[]): number | null => {
    const key = keys.find((name) => config[name] !== undefined && config[name] !== null);
    if (key === undefined) return null;
    const value = config[key];
    if (typeof value === 'number' && Number.isInteger(value) && value > 0) return value;
    throw notPositive(file, key, value);
  };
  const family = typeof config['model_type'] === 'string' ? config['model_type'] : '';
  const length = size(KEYS.length) ?? TRAINED_LENGTH.get(family);
  if (length === undefined) throw notPositive(file, KEYS.length[0], undefined);
  return {
    file,
    maxPositionEmbeddings: length,
    hiddenSize: size(KEYS.hidden),
    numLayers: size(KEYS.layers),
    numHeads: size(KEYS.heads),
    numKvHeads: size(KEYS.kvHeads),
    vocabSize: size(KEYS.vocab),
    headSize: await readHeadSize(modelDir),
  };
}

interface Sizes {
  readonly file: string;
  readonly config: Record<string, unknown>;
}

/** ONNX Runtime GenAI's model builder writes genai_config.json and no config.json. */
async function readSizes(modelDir: string): Promise<Sizes> {
  const file = join(modelDir, 'config.json');
  const genai = join(modelDir, 'genai_config.json');
  const text = isGgufFile(modelDir)
    ? ggufText(modelDir, 'config.json')
    : await readFile(file, 'utf8').catch(() => null);
  if (text === null && (await exists(genai))) {
    const { outer, decoder } = await readGenai(genai);
    return { file: genai, config: { ...decoder, ...outer } };
  }
  const outer = parseObject(file, text ?? (await readText(file)));
  // Models of text and images state the sizes of their text part separately.
  const inner = outer['text_config'];
  return { file, config: isObject(inner) ? { ...outer, ...inner } : outer };
}

async function readGenai(
  file: string,
): Promise<Record<'outer' | 'decoder', Record<string, unknown>>> {
  const { model } = parseObject(file, await readText(file));
  const outer = isObject(model) ? model : {};
  const decoder = outer['decoder'];
  return { outer, decoder: isObject(decoder) ? decoder : {} };
}

async function readHeadSize(modelDir: string): Promise<number | null> {
  const file = join(modelDir, 'genai_config.json');
  if (!(await exists(file))) return null;
  const size = (await readGenai(file)).decoder['head_size'];
  return typeof size === 'number' ? size : null;
}

function exists(file: string): Promise<boolean> {
  return access(file).then(
    () => true,
    () => false,
  );
}

function notPositive(file: string, key: string, value: unknown): OctavoError {
  return new OctavoError(
    'model_file_corrupt',
    `${file}: ${key} must be a positive integer, got ${JSON.stringify(value) ?? 'nothing'}`,
  );
}

async function readText(file: string): Promise<string> {
  try {
    return await readFile(file, 'utf8');
  } catch (cause) {
    throw new OctavoError('model_file_missing', `${file}: cannot be read; a model needs it`, {
      cause,
    });
  }
}

function parseObject(file: string, text: string): Record<string, unknown> {
  let value: unknown;
  try {
    value = parsePythonJson(text);
  } catch (cause) {
    throw new OctavoError('model_file_corrupt', `${file}: is not JSON`, { cause });
  }
  if (isObject(value)) return value;
  throw new OctavoError('model_file_corrupt', `${file}: must hold a JSON object`);
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
