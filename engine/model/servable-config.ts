import { OctavoError } from '../errors.js';
import { type ModelConfig, readModelConfig } from './model-config.js';
import { type ModelFiles, openModel } from './open-model.js';

/**
 * Reads config.json. If it lacks what every decoder's has, the model may be no decoder (Mamba's
 * states no length); then the reason why the graph is refused is the better message.
 *
 * @throws OctavoError `model_file_missing`, `model_file_corrupt`, `model_unsupported`
 */
export async function readServableConfig(model: ModelFiles): Promise<ModelConfig> {
  try {
    return await readModelConfig(model.modelDir);
  } catch (error) {
    const isCorrupt = error instanceof OctavoError && error.kind === 'model_file_corrupt';
    if (!isCorrupt) throw error;
    const reason: unknown = await openModel(model).catch((cause: unknown) => cause);
    const isBetter = reason instanceof OctavoError && reason.kind === 'model_unsupported';
    throw isBetter ? reason : error;
  }
}
