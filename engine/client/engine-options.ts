import type { ModelKind } from '../encoder/model-kind.js';
import { modelCacheDir } from '../environment/model-cache-dir.js';
import { OctavoError } from '../errors.js';
import type { AdapterSource, DeviceFacts, DeviceName, ModelPlace } from '../protocol/options.js';
import type { EngineSettings } from '../settings.js';
import { parseSpeculativeConfig } from '../speculation/speculative-config.js';
import { tierOptions } from './tier-options.js';
import type { WorkerEngineOptions } from './worker-engine.js';

/** The settings of an engine, and those of a server that its cache must know. */
export interface StartSettings extends Omit<EngineSettings, 'model'> {
  readonly kvMetricsSampleRate: number;
  /** Whether clients load adapters while it runs. */
  readonly allowRuntimeLoraUpdating?: boolean;
  /** When set, changes of the prefix cache are published there. */
  readonly kvEventsEndpoint?: string;
}

/**
 * What the kernels of each device compute best with: tokens of a block, and of a step. (CUDA's
 * FlashAttention takes pages of 256 tokens for heads of any size, by ONNX Runtime's sources. A GPU
 * needs longer steps than a CPU before it is busy; vLLM gives it as many tokens.)
 */
const DEFAULTS: Readonly<Record<DeviceName, { blockSize: number; stepTokens: number }>> = {
  cpu: { blockSize: 16, stepTokens: 512 },
  webgpu: { blockSize: 32, stepTokens: 2048 },
  cuda: { blockSize: 256, stepTokens: 2048 },
};

/** What an engine runs on, when `--device` has been decided. */
export interface ChosenDevice {
  readonly device: DeviceName;
  /** Absent for the CPU. */
  readonly facts?: DeviceFacts;
}

function loraOptions(settings: StartSettings): Pick<WorkerEngineOptions, 'lora'> {
  const { lora, enableLora, allowRuntimeLoraUpdating = false, maxLoras, maxLoraRank } = settings;
  if (lora.length === 0 && !enableLora && !allowRuntimeLoraUpdating) return {};
  return { lora: { adapters: adapterSources(lora), maxLoras, maxRank: maxLoraRank } };
}

/** @param texts `name=directory` */
export function adapterSources(texts: readonly string[]): AdapterSource[] {
  return texts.map((text) => {
    const end = text.indexOf('=');
    return { name: text.slice(0, end), directory: text.slice(end + 1) };
  });
}

/** What only an encoder is told: a decoder's requests say how they are pooled. */
function encoderOptions(
  { pooling }: StartSettings,
  kind: ModelKind,
): Pick<WorkerEngineOptions, 'isEncoder' | 'pooling'> {
  if (kind === 'encoder') {
    const mode = pooling === 'last' ? 'lasttoken' : pooling;
    return { isEncoder: true, ...(mode !== undefined && { pooling: mode }) };
  }
  if (pooling !== 'cls') return {};
  const message = "--pooling cls: a decoder's first token has seen no other; take last or mean";
  throw new OctavoError('usage', message, { param: '--pooling' });
}

/** @throws OctavoError `usage` for texts where nothing is rounded by them */
function quantizeOptions(
  { quantize: kind, quantizeNbits: nbits, calibrate }: StartSettings,
  cacheDir: string,
  model: ModelKind,
): Pick<WorkerEngineOptions, 'quantize'> {
  const refused = (why: string): OctavoError =>
    new OctavoError('usage', `--calibrate ${calibrate}: ${why}`, { param: '--calibrate' });
  if (calibrate !== undefined && model === 'encoder') {
    throw refused('is for decoders; an encoder is served as its file has it');
  }
  if (calibrate !== undefined && kind !== 'q4' && kind !== 'q8') {
    throw refused(`is for --quantize q4 and q8, not ${kind}`);
  }
  if (kind === 'none') return {};
  return { quantize: { kind, nbits, cacheDir, ...(calibrate !== undefined && { calibrate }) } };
}

/** Of an engine that replaces a failed one. @param adapters those that it had */
export function restartOptions(
  options: WorkerEngineOptions,
  adapters: readonly AdapterSource[] = [],
): WorkerEngineOptions {
  const { lora } = options;
  return { ...options, isRestart: true, ...(lora && { lora: { ...lora, adapters } }) };
}

/** @param draft where the draft model is that the settings name */
function speculationOptions(
  { speculativeConfig }: StartSettings,
  draft: ModelPlace | null,
): Pick<WorkerEngineOptions, 'speculation'> {
  if (speculativeConfig === undefined) return {};
  const config = parseSpeculativeConfig(speculativeConfig);
  if (!('model' in config)) return { speculation: config };
  if (draft === null) throw new Error(`the draft model ${config.model} has not been looked for`);
  return { speculation: { ...config, model: draft } };
}

/** The models of an engine. */
export interface ModelPlaces extends ModelPlace {
  /** The draft model that the settings name (`findDraftModel`); absent: they name none. */
  readonly draft?: ModelPlace | null;
}

/** Converts settings, as flags and the library have them, to the options of the engine's thread. */
export function engineOptions(
  settings: StartSettings,
  { dir, file, draft = null }: ModelPlaces,
  { device, facts }: ChosenDevice,
  kind: ModelKind = 'decoder',
): WorkerEngineOptions {
  const cacheDir = modelCacheDir(settings.modelCacheDir, process.env);
  if (settings.deviceDtype === 'float16' && settings.device === 'cpu') {
    throw new OctavoError('usage', '--device-dtype float16: is for a GPU; name one by --device', {
      param: '--device-dtype',
    });
  }
  return {
    modelDir: dir,
    hashCacheDir: cacheDir,
    modelCacheDir: cacheDir,
    maxNumSeqs: settings.maxNumSeqs,
    maxNumBatchedTokens: settings.maxNumBatchedTokens ?? DEFAULTS[device].stepTokens,
    device,
    ...(facts && { deviceFacts: facts }),
    ...(device !== 'cpu' && { deviceFloats: settings.deviceDtype }),
    blockSize: settings.blockSize ?? DEFAULTS[device].blockSize,
    kvCacheBytes: settings.kvCacheMemory,
    dtype: settings.dtype,
    ...(file !== undefined && { file }),
    ...(settings.kvDtype !== undefined && { kvDtype: settings.kvDtype }),
    maxModelLength: settings.maxModelLen ?? null,
    threads: settings.threads,
    ...encoderOptions(settings, kind),
    enablePrefixCaching: settings.enablePrefixCaching,
    cacheEvents: settings.kvEventsEndpoint !== undefined,
    ...(settings.evictionPolicy && { evictionPolicy: settings.evictionPolicy }),
    schedulingPolicy: settings.schedulingPolicy,
    admissionQuantile: settings.admissionQuantile,
    ...(kind === 'decoder' && speculationOptions(settings, draft)),
    longPrefillThreshold: settings.longPrefillTokenThreshold,
    kvMetricsSampleRate: settings.kvMetricsSampleRate,
    ...tierOptions(settings),
    ...loraOptions(settings),
    ...(settings.traceSteps !== undefined && { traceSteps: settings.traceSteps }),
    activations: settings.activations,
    ...quantizeOptions(settings, cacheDir, kind),
  };
}
