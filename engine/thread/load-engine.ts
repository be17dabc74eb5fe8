import { createHash } from 'node:crypto';
import { BlockHistory } from '../../kvcache/block-history.js';
import { CacheEventLog } from '../../kvcache/cache-events.js';
import type { KvCacheManager } from '../../kvcache/kv-cache-manager.js';
import { NO_TIERS } from '../../scheduler/prefix-tiers.js';
import type { Scheduler } from '../../scheduler/scheduler.js';
import { EngineCore } from '../core/engine-core.js';
import { ImageStore } from '../core/image-store.js';
import type { ModelRunner } from '../core/model-runner.js';
import '../environment/no-telemetry.js';
import type { ConversionProgress } from '../importer/quantize/progress.js';
import { checkConfig } from '../model/check-config.js';
import { contentHash } from '../model/content-hash.js';
import type { ModelConfig } from '../model/model-config.js';
import { contentFiles } from '../model/open-model.js';
import { readServableConfig } from '../model/servable-config.js';
import {
  draftsByLayers,
  type EngineInfo,
  type EngineOptions,
  type SpeculationOptions,
} from '../protocol/options.js';
import { createSpeculator, type SpeculationMethod } from '../speculation/create-speculator.js';
import type { ComputingOptions } from '../speculation/speculator.js';
import { createTiers } from '../tiers/create-tiers.js';
import type { TieredCache, TierWaits } from '../tiers/tiered-cache.js';
import { createScheduler, openTrace } from '../trace/step-trace.js';
import type { Backend } from './backend.js';
import { cpuBackend } from './cpu-backend.js';
import { deviceBackend } from './device-backend.js';
import {
  draftLayersMemory,
  openDraftLayers,
  type StartedDraftLayers,
  startDraftLayers,
} from './draft-layers.js';
import {
  checkDraftDevice,
  draftModelMemory,
  openDraftModel,
  type StartedDraftModel,
  startDraftModel,
} from './draft-model.js';
import { servedLength, sizeEngine } from './engine-sizes.js';
import { kernelStages } from './kernel-stages.js';
import { assertWithinMemory } from './memory-limit.js';
import { measureSteps, warmUp, warmUpKernels } from './warm-up.js';

export interface LoadedEngine {
  readonly core: EngineCore;
  readonly info: EngineInfo;
  readonly runner: ModelRunner;
  /** Null: there is none. Its runner is to be disposed with the other. */
  readonly draftModel: StartedDraftModel | null;
  /** Null: there are none. To be disposed with the runner. */
  readonly draftLayers: StartedDraftLayers | null;
  readonly scheduler: Scheduler;
  readonly cache: KvCacheManager;
  /** The images of all sequences that are alive. */
  readonly images: ImageStore;
  /** Null when there are none. To be closed before the runner is disposed. */
  readonly tiers: TieredCache | null;
  /** Identifies model and page format; a part of every block's hash. */
  readonly modelFingerprint: string;
}

/** Sources of time and randomness; by default the process' own. */
export interface EngineSurroundings {
  /** Monotonic, milliseconds. */
  readonly now?: () => number;
  /**
   * Uniform in [0, 1); selects the blocks that are sampled for metrics. Tokens do not depend on it.
   */
  readonly random?: () => number;
  /** For tests that count what farther tiers give back, however slow they are. */
  readonly tierWaits?: TierWaits;
  /** Called while weights are rewritten for the model cache. */
  readonly onConversion?: ConversionProgress;
  /** Receives what is done, where it takes long. */
  readonly onNote?: (line: string) => void;
  /** Receives lines that the operator should see, at any time. */
  readonly onWarning?: (line: string) => void;
}

/** Creates an engine from a model directory: import, pages, sessions, a warm-up step, scheduler. */
export async function loadEngine(
  options: EngineOptions,
  surroundings: EngineSurroundings = {},
): Promise<LoadedEngine> {
  checkDraftDevice(options);
  const { hashCacheDir: cacheDir = null } = options;
  const config = await readServableConfig(options);
  const files = await contentFiles(options);
  const hashing = new AbortController();
  // A thread hashes the files while this one imports them.
  const content = contentHash(files, { cacheDir, signal: hashing.signal });
  // The import reports errors of the files better.
  content.catch(() => undefined);
  try {
    return await build(options, surroundings, config, content);
  } finally {
    hashing.abort();
  }
}

/** @param content the hash of the model's files */
async function build(
  options: EngineOptions,
  surroundings: EngineSurroundings,
  config: ModelConfig,
  content: Promise<string>,
): Promise<LoadedEngine> {
  const { now = () => performance.now(), random = Math.random } = surroundings;
  const { onConversion = () => undefined, onWarning = () => undefined } = surroundings;
  const trace = options.traceSteps === undefined ? null : openTrace(options.traceSteps);
  const { onNote = () => undefined } = surroundings;
  const onKernels = kernelStages(onNote, now);
  const request = { options, config, onConversion, onWarning, onKernels };
  const { device = 'cpu' } = options;
  const backend = await (device === 'cpu' ? cpuBackend(request) : deviceBackend(request));
  const { model } = backend;
  checkConfig(config, model);
  const { speculation = null } = options;
  const maxModelLength = servedLength(options, config);
  const draft =
    speculation?.method === 'draft_model'
      ? await openDraftModel(request, speculation, maxModelLength)
      : null;
  const layers = draftsByLayers(options.speculation)
    ? await openDraftLayers(request, options.speculation, model)
    : null;
  const memory = draft ? draftModelMemory(draft) : layers && draftLayersMemory(layers, options);
  const { plan, info } = sizeEngine(options, backend, config, memory);
  const draftBytes = draft?.backend.model.report.weightBytes ?? layers?.weightBytes ?? 0;
  const weightBytes = model.report.weightBytes + draftBytes;
  const hostMemoryBytes = options.tiers?.hostMemoryBytes ?? 0;
  assertWithinMemory({ kvCacheBytes: backend.hostCacheBytes, hostMemoryBytes, weightBytes });
  const history = new BlockHistory({
    numBlocks: info.numBlocks,
    sampleRate: options.kvMetricsSampleRate,
    now,
    random,
  });
  const images = new ImageStore();
  let tiers: TieredCache | null = null;
  const { runner, pages, adapters, ends } = await backend.start({
    plan,
    numBlocks: info.numBlocks,
    now,
    images,
    loadBlocks: async (loads) => tiers?.load(loads),
  });
  const draftLayers =
    layers && ends && (await startDraftLayers(layers, { ends, plan, info, options, now }));
  const largest = {
    tokens: info.maxNumBatchedTokens,
    sequences: options.maxNumSeqs,
    maxModelLength: info.maxModelLength,
    blockSize: options.blockSize,
    numGroups: plan.groups.length,
  };
  if (device === 'cpu') await warmUp(runner, largest);
  else await warmUpKernels(runner, largest, onKernels);
  const measured = speculation && (await measureSteps(runner, largest, now));
  const kvCacheBytes = options.kvCacheBytes - info.numBlocks * plan.bytesPerBlock;
  const draftModel = draft && (await startDraftModel(draft, { kvCacheBytes, info, options, now }));
  for (const { name, directory } of options.lora?.adapters ?? []) {
    await adapters?.load(name, directory);
  }
  const modelFingerprint = fingerprint(await content, backend, options);
  if (options.tiers && pages) {
    const { isRestart = false } = options;
    const about = { layout: plan, modelFingerprint, isRestart, log: onWarning };
    const parts = { pages, history, now, ...surroundings.tierWaits, ...about };
    tiers = await createTiers(options.tiers, parts);
  }
  const behind = tiers;
  const { cache, scheduler } = createScheduler(
    {
      policy: options.schedulingPolicy,
      admissionQuantile: options.admissionQuantile ?? 0,
      maxNumSeqs: options.maxNumSeqs,
      maxNumBatchedTokens: info.maxNumBatchedTokens,
      longPrefillThreshold: options.longPrefillThreshold,
      maxModelLength: info.maxModelLength,
      switchLengths: model.switchLengths,
      modelFingerprint,
    },
    {
      numBlocks: info.numBlocks,
      blockSize: options.blockSize,
      enablePrefixCaching: options.enablePrefixCaching,
      eviction: info.evictionPolicy,
      groups: plan.groups,
      canCopyBlocks: runner.canCopyBlocks,
      history,
      ...(options.cacheEvents && { events: new CacheEventLog(options.blockSize, plan.groups) }),
      ...(behind && {
        onEvict: (block, hash) => behind.evicted(block, hash),
        onHit: (block, hash) => behind.hit(block, hash),
        onStore: (block, hash, parent) => behind.stored(block, hash, parent),
      }),
    },
    trace,
    behind ?? NO_TIERS,
  );
  const core = new EngineCore({
    scheduler,
    runner,
    vocabSize: info.vocabSize,
    cache,
    now,
    images,
    proposer: createSpeculator(methodOf(speculation, draftModel ?? draftLayers), measured, now),
    ...(behind && { tiers: behind }),
    ...(adapters && { adapters }),
  });
  const started = { core, info, runner, draftModel, draftLayers, scheduler, cache, images, tiers };
  return { ...started, modelFingerprint };
}

/** The method with what computes its drafts, if something does. */
function methodOf(
  speculation: SpeculationOptions | null,
  computing: ComputingOptions | null,
): SpeculationMethod | null {
  if (!speculation || 'least' in speculation) return speculation;
  return computing && { maxDraftTokens: speculation.maxDraftTokens, computing };
}

/**
 * Blocks of another model or format must never be a cache hit; those of the same model may be,
 * wherever it is stored.
 *
 * @param content the hash of the model's files, before any rewriting
 */
function fingerprint(
  content: string,
  { model, kvDtype }: Backend,
  { quantize, blockSize }: EngineOptions,
): string {
  const { rewrites, weights } = model.report;
  const kinds = [quantize?.kind ?? 'none', quantize?.nbits ?? false, model.saturates];
  const identity = [content, weights, rewrites, model.switchLengths, kinds, kvDtype, blockSize];
  return createHash('sha256').update(JSON.stringify(identity)).digest('base64');
}
