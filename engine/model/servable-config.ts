import { OctavoError } from '../errors.js';
import type { Dtype } from '../importer/variants.js';
import { type ModelConfig, readModelConfig } from './model-config.js';
import { openModel } from './open-model.js';

/**
 * Reads config.json. If it lacks what every decoder's has, the model may be no decoder (Mamba's
 * states no length); then the reason why the graph is refused is the better message.
 *
 * @throws OctavoError `model_file_missing`, `model_file_corrupt`, `model_unsupported`
 */
export async function readServableConfig(
  modelDir: string,
  dtype: Dtype | 'auto',
): Promise<ModelConfig> {
  try {
    return await readModelConfig(modelDir);
  } catch (error) {
    const isCorrupt = error instanceof OctavoError && error.kind === 'model_file_corrupt';
    if (!isCorrupt) throw error;
    const reason: unknown = await openModel({ modelDir, dtype }).catch((cause: unknown) => cause);
    const isBetter = reason instanceof OctavoError && reason.kind === 'model_unsupported';
    throw isBetter ? reason : error;
  }
}
