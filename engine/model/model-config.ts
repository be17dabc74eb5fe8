import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { OctavoError } from '../errors.js';

/** What the engine reads from a model's `config.json`. The graph itself tells heads, sizes and vocabulary. */
export interface ModelConfig {
  /** Longest prompt plus output that the model was made for. */
  readonly maxPositionEmbeddings: number;
  /** Width of the hidden states. */
  readonly hiddenSize: number;
}

/** @throws OctavoError `model_file_missing`, `model_file_corrupt`: which file, and what is wrong with it */
export async function readModelConfig(modelDir: string): Promise<ModelConfig> {
  const file = join(modelDir, 'config.json');
  const config = parseObject(file, await readText(file));
  // Families name it differently: Llama and most others, GPT-2, MPT.
  const size = (...names: [string, ...string[]]): number => {
    const value = names.map((name) => config[name]).find((found) => found !== undefined);
    if (typeof value === 'number' && Number.isInteger(value) && value >= 1) return value;
    throw new OctavoError(
      'model_file_corrupt',
      `${file}: ${names[0]} must be a positive integer, got ${JSON.stringify(value) ?? 'nothing'}`,
    );
  };
  return {
    maxPositionEmbeddings: size('max_position_embeddings', 'n_positions', 'max_seq_len'),
    hiddenSize: size('hidden_size', 'n_embd', 'd_model'),
  };
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
