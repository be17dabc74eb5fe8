import { NO_BLOCK } from '../../kvcache/ids.js';
import type { KvCacheManager } from '../../kvcache/kv-cache-manager.js';
import type { CachedPrefix } from '../../kvcache/prefix-lookup.js';
import type { Sequence } from '../sequence.js';
import type { LengthPredictor } from './length-predictor.js';

export interface BlockForecastOptions {
  readonly cache: KvCacheManager;
  readonly predictor: LengthPredictor;
  /** Share of the sequences that get by with the blocks that are kept for them, 0 to 1. */
  readonly quantile: number;
  /** Maximum number of tokens of one step. */
  readonly stepTokens: number;
}

/**
 * Admission by predicted memory (S3, Jin et al. 2023): a sequence is let in when the free blocks
 * suffice for what it and all running sequences will still need, each at a quantile of its
 * predicted length. Where a prediction was too small, a sequence is preempted, as without. A
 * sequence of which nothing is known needs what its prompt does: a client that allows the longest
 * output for all, as most do, would otherwise reserve memory as if each became so long.
 *
 * One is made for each step that may admit.
 */
export class BlockForecast {
  readonly #options: BlockForecastOptions;
  /** Blocks that the running sequences will still need. */
  #promised = 0;

  /** @param running costs O(1) for each, as a step does in any case */
  constructor(options: BlockForecastOptions, running: readonly Sequence[]) {
    this.#options = options;
    for (const sequence of running) this.admitted(sequence);
  }

  /** Whether a waiting sequence fits, beside those that run. */
  fits(sequence: Sequence, prefix: CachedPrefix | null): boolean {
    const { pool } = this.#options.cache;
    // Blocks of its prefix that others use are there already; others are among the free ones.
    const shared = (prefix?.tables ?? [])
      .flat()
      .filter((block) => block !== NO_BLOCK && pool.refCount(block) > 0).length;
    return this.#needOf(sequence) - shared <= pool.numFree - this.#promised;
  }

  /** A sequence runs, with the blocks that it holds now. */
  admitted(sequence: Sequence): void {
    this.#promised += this.#needOf(sequence);
  }

  /** Blocks that it will need beyond those that it holds. */
  #needOf(sequence: Sequence): number {
    const { cache, predictor, quantile, stepTokens } = this.#options;
    const { spec, ids, blocks } = sequence;
    const prompt = spec.promptTokenIds.length;
    const output = spec.maxTokens === 0 ? 0 : (predictor.quantile(sequence, quantile) ?? 0);
    // The last token is sampled, but never computed.
    const tokens = Math.max(prompt, prompt + Math.ceil(output) - 1);
    const most = cache.maxHeldBlocks(tokens, stepTokens);
    const held = blocks.tables.reduce(
      (sum, table, group) => sum + table.length - blocks.numExpired[group],
      0,
    );
    // Its siblings share the full blocks of the prompt.
    const own = most - cache.maxHeldBlocks(prompt, stepTokens) + cache.groups.length;
    return Math.max(0, most - held) + (ids.length - 1) * Math.max(0, own);
  }
}
