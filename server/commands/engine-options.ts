import type { WorkerEngineOptions } from '../../engine/client/worker-engine.js';
import { modelCacheDir } from '../../engine/environment/model-cache-dir.js';
import { embeddedModelDir } from '../../engine/environment/package-root.js';
import type { EngineQuantization } from '../../engine/protocol/options.js';
import type { Settings } from '../config/settings.js';
import { type FoundModel, findModel } from './find-model.js';

/** @throws OctavoError see `findModel` */
export function servedModelFiles(
  settings: Settings,
  log: (line: string) => void,
): Promise<FoundModel> {
  return findModel(settings.model ?? embeddedModelDir(), '--model', settings.dtype, log);
}

export function engineOptions(settings: Settings, modelDir: string): WorkerEngineOptions {
  return {
    modelDir,
    maxNumSeqs: settings.maxNumSeqs,
    maxNumBatchedTokens: settings.maxNumBatchedTokens,
    blockSize: settings.blockSize,
    kvCacheBytes: settings.kvCacheMemory,
    dtype: settings.dtype,
    kvDtype: settings.kvDtype,
    maxModelLength: settings.maxModelLen ?? null,
    threads: settings.threads,
    enablePrefixCaching: settings.enablePrefixCaching,
    schedulingPolicy: settings.schedulingPolicy,
    longPrefillThreshold: settings.longPrefillTokenThreshold,
    kvMetricsSampleRate: settings.kvMetricsSampleRate,
    ...(settings.quantize !== 'none' && { quantize: quantization(settings, settings.quantize) }),
  };
}

function quantization(settings: Settings, kind: EngineQuantization['kind']): EngineQuantization {
  const cacheDir = modelCacheDir(settings.modelCacheDir, process.env);
  return { kind, nbits: settings.quantizeNbits, cacheDir };
}
