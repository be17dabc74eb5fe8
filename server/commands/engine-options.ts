import { stat } from 'node:fs/promises';
import type { EngineQuantization } from '../../engine/core/protocol.js';
import { OctavoError } from '../../engine/errors.js';
import { modelCacheDir } from '../config/model-cache-dir.js';
import { embeddedModelDir } from '../config/package-root.js';
import type { Settings } from '../config/settings.js';
import { clip } from '../text/clip.js';
import type { WorkerEngineOptions } from '../worker-engine.js';

/** @throws OctavoError `usage` when `--model` names no directory */
export async function modelDirOf(settings: Settings): Promise<string> {
  const dir = settings.model ?? embeddedModelDir();
  await assertDirectory(dir, '--model');
  return dir;
}

/** @throws OctavoError `usage` */
export async function assertDirectory(dir: string, name: string): Promise<void> {
  const found = await stat(dir).catch(() => null);
  if (!found?.isDirectory()) {
    throw new OctavoError('usage', `${name} ${clip(dir)}: must be the directory of a model`, {
      param: name,
    });
  }
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
