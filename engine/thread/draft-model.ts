import { BlockHistory } from '../../kvcache/block-history.js';
import { KvCacheManager } from '../../kvcache/kv-cache-manager.js';
import { ImageStore } from '../core/image-store.js';
import type { ModelRunner } from '../core/model-runner.js';
import { OctavoError } from '../errors.js';
import { checkConfig } from '../model/check-config.js';
import { readServableConfig } from '../model/servable-config.js';
import {
  draftsByLayers,
  type EngineInfo,
  type EngineOptions,
  type ModelSpeculation,
} from '../protocol/options.js';
import {
  blocksOfLongest,
  type CachePlan,
  type CacheSizes,
  planCache,
} from '../recurrent/cache-plan.js';
import { ModelDrafter } from '../speculation/draft-model/model-drafter.js';
import type { ComputingOptions } from '../speculation/speculator.js';
import { StepCosts } from '../speculation/step-costs.js';
import type { Backend, BackendRequest } from './backend.js';
import { cpuBackend } from './cpu-backend.js';
import { measureSteps, warmUp } from './warm-up.js';

/** A draft model that is read, and has no memory for its cache yet. */
export interface OpenedDraftModel {
  readonly modelDir: string;
  readonly backend: Backend;
  readonly plan: CachePlan;
  readonly sizes: CacheSizes;
}

/** What something that computes drafts takes of the memory for K and V. */
export interface DraftMemory {
  /** For each block of the engine's own cache. */
  bytesPerBlock(own: CachePlan, ownSizes: CacheSizes): number;
  /** For a note: where drafts come from. */
  readonly source: string;
}

export interface StartedDraftModel extends ComputingOptions {
  /** To be disposed with the engine's own. */
  readonly runner: ModelRunner;
}

/** @throws OctavoError `usage` for drafts that are computed beside a model on a GPU */
export function checkDraftDevice({ speculation, device = 'cpu' }: EngineOptions): void {
  const isLayers = draftsByLayers(speculation);
  if ((speculation?.method !== 'draft_model' && !isLayers) || device === 'cpu') return;
  const what = isLayers ? 'layers that draft are' : 'a draft model is';
  const problem = `${what} computed by the CPU only: leave out --device`;
  throw new OctavoError('usage', `--speculative-config: ${problem}`, {
    param: '--speculative-config',
  });
}

/**
 * Opens the draft model with the options of the engine that it drafts for.
 *
 * @param maxModelLength of that engine
 * @throws OctavoError `model_unsupported` for layers with a state, which could not go back to where
 *   a draft was wrong; and what opening a model throws
 */
export async function openDraftModel(
  { options, ...request }: BackendRequest,
  { model }: ModelSpeculation,
  maxModelLength: number,
): Promise<OpenedDraftModel> {
  const { dir: modelDir, file } = model;
  // Adapters and the choice of a file are those of the engine's own model.
  const { lora: _, file: __, ...shared } = options;
  const files = {
    ...shared,
    modelDir,
    dtype: 'auto' as const,
    ...(file !== undefined && { file }),
  };
  const config = await readServableConfig(files);
  const length = Math.min(maxModelLength, config.maxPositionEmbeddings);
  const own: EngineOptions = { ...files, maxModelLength: length };
  const backend = await cpuBackend({ ...request, options: own, config });
  checkConfig(config, backend.model);
  if (backend.model.recurrent.length > 0) {
    const problem = 'has layers with a state, which a draft model must not have';
    throw new OctavoError('model_unsupported', `--speculative-config: ${modelDir} ${problem}`);
  }
  const { kvDtype } = backend;
  const sizes = { ...own, kvDtype, maxModelLength: length };
  return { modelDir, backend, sizes, plan: planCache(backend.model.sites, sizes) };
}

/** Its cache and the engine's own hold equally many sequences of the full length. */
export function draftModelMemory({
  modelDir,
  backend,
  plan,
  sizes,
}: OpenedDraftModel): DraftMemory {
  return {
    bytesPerBlock: (own, ownSizes) => {
      const needed = blocksOfLongest(plan, sizes) * plan.bytesPerBlock;
      return Math.ceil(needed / blocksOfLongest(own, ownSizes));
    },
    source: `${modelDir}: ${backend.model.report.variant}`,
  };
}

/** Where a draft model runs. */
export interface DraftModelStart {
  /** Its share of the memory for K and V. */
  readonly kvCacheBytes: number;
  /** Of the engine that it drafts for. */
  readonly info: EngineInfo;
  readonly options: EngineOptions;
  /** Monotonic, milliseconds. */
  readonly now: () => number;
}

/** Gives the draft model its memory, and measures what its runs cost. */
export async function startDraftModel(
  { backend, plan, sizes }: OpenedDraftModel,
  { kvCacheBytes, info, options, now }: DraftModelStart,
): Promise<StartedDraftModel> {
  const { model } = backend;
  const { blockSize, maxModelLength } = sizes;
  const numBlocks = Math.floor(kvCacheBytes / plan.bytesPerBlock);
  const { runner } = await backend.start({
    plan,
    numBlocks,
    now,
    images: new ImageStore(),
    loadBlocks: async () => undefined,
  });
  const maxTokens = Math.min(info.maxNumBatchedTokens, model.maxStepTokens ?? Infinity);
  const numGroups = plan.groups.length;
  const largest = {
    tokens: maxTokens,
    sequences: options.maxNumSeqs,
    maxModelLength,
    blockSize,
    numGroups,
  };
  await warmUp(runner, largest);
  const costs = new StepCosts(await measureSteps(runner, largest, now));
  const cache = new KvCacheManager({
    numBlocks,
    blockSize,
    enablePrefixCaching: options.enablePrefixCaching,
    groups: plan.groups,
    history: new BlockHistory({ numBlocks, sampleRate: 0, now, random: () => 0 }),
  });
  const { vocabSize } = model;
  const drafter = new ModelDrafter({
    runner,
    cache,
    vocabSize,
    targetVocabSize: info.vocabSize,
    maxLength: maxModelLength,
    maxTokens,
  });
  return { drafter, costs, runner };
}
