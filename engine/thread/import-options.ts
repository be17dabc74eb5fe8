import type { OpenOptions } from '../model/open-model.js';
import { draftsByLayers } from '../protocol/options.js';
import type { BackendRequest } from './backend.js';

/** How an engine's model is imported, whatever computes it. */
export function importOptions({ options, config, onConversion }: BackendRequest): OpenOptions {
  const { modelCacheDir } = options;
  return {
    modelDir: options.modelDir,
    ...(modelCacheDir !== undefined && {
      widen: { cacheDir: modelCacheDir, onProgress: onConversion },
    }),
    ...(options.quantize && { quantize: { ...options.quantize, onProgress: onConversion } }),
    ...(options.activations && { activations: options.activations }),
    dtype: options.dtype ?? 'auto',
    ...(options.file !== undefined && { file: options.file }),
    hasAdapters: options.lora !== undefined,
    opensEnds: draftsByLayers(options.speculation),
    maxLength: config.maxPositionEmbeddings,
    servedLength: options.maxModelLength ?? config.maxPositionEmbeddings,
  };
}
