import type { BlockLoad } from '../../kvcache/tier-contents.js';
import type { LoadedAdapters } from '../adapters/loaded-adapters.js';
import type { CacheDtype } from '../attention/paged-attention.js';
import type { ImageStore } from '../core/image-store.js';
import type { ModelEnds } from '../core/model-ends.js';
import type { ModelRunner } from '../core/model-runner.js';
import type { ModelFacts } from '../importer/imported-model.js';
import type { ConversionProgress } from '../importer/quantize/progress.js';
import type { ModelConfig } from '../model/model-config.js';
import type { EngineOptions } from '../protocol/options.js';
import type { CachePlan } from '../recurrent/cache-plan.js';
import type { BlockTransfer } from '../tiers/block-transfer.js';

/** What a backend is made for. */
export interface BackendRequest {
  readonly options: EngineOptions;
  readonly config: ModelConfig;
  /** Called while weights are rewritten for the model cache. */
  readonly onConversion: ConversionProgress;
  /** Called before each stage of the start in which a device compiles kernels, but the warm-up. */
  readonly onKernels: () => void;
  /** Receives lines that the operator should see, at any time. */
  readonly onWarning: (line: string) => void;
}

/** What a started backend needs besides its model. */
export interface BackendStart {
  readonly plan: CachePlan;
  readonly numBlocks: number;
  /** Monotonic, milliseconds. */
  readonly now: () => number;
  /** Will have the images of sequences. */
  readonly images: ImageStore;
  /** Writes a plan's loads into the pages. */
  readonly loadBlocks: (loads: readonly BlockLoad[]) => Promise<void>;
}

/** A model prepared for what computes it: the CPU, or a device. */
export interface Backend {
  readonly model: ModelFacts;
  /** How keys and values are stored. */
  readonly kvDtype: CacheDtype;
  /** Bytes that the cache takes of the host's memory. */
  readonly hostCacheBytes: number;
  /** Allocates the cache and loads the model. Call it once. */
  start(start: BackendStart): Promise<StartedBackend>;
}

export interface StartedBackend {
  /** Those that it computes; null for none. */
  readonly adapters: LoadedAdapters | null;
  /** Owns the cache. */
  readonly runner: ModelRunner;
  /** For layers that draft; null where they were not asked for, and on a device. */
  readonly ends: ModelEnds | null;
  /** Copies blocks for tiers; null where they can be neither read nor written. */
  readonly pages: BlockTransfer | null;
}
