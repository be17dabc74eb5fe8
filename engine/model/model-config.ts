import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { OctavoError } from '../errors.js';

/** What the engine reads from a model's `config.json`. The graph itself tells heads, sizes and vocabulary. */
export interface ModelConfig {
  /** Longest prompt plus output that the model was made for. */
  readonly maxPositionEmbeddings: number;
}

/** @throws OctavoError `model_file_missing`, `model_file_corrupt`: which file, and what is wrong with it */
export async function readModelConfig(modelDir: string): Promise<ModelConfig> {
  const file = join(modelDir, 'config.json');
  const config = parseObject(file, await readText(file));
  // Families name it differently: Llama and most others, GPT-2, MPT.
  const length =
    config['max_position_embeddings'] ?? config['n_positions'] ?? config['max_seq_len'];
  if (typeof length !== 'number' || !Number.isInteger(length) || length < 1) {
    throw new OctavoError(
      'model_file_corrupt',
      `${file}: max_position_embeddings must be a positive integer, got ${JSON.stringify(length) ?? 'nothing'}`,
    );
  }
  return { maxPositionEmbeddings: length };
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
    value = JSON.parse(text);
  } catch (cause) {
    throw new OctavoError('model_file_corrupt', `${file}: is not JSON`, { cause });
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new OctavoError('model_file_corrupt', `${file}: must hold a JSON object`);
  }
  return value as Record<string, unknown>;
}
