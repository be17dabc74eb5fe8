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
 * suffice for it, and for what all running sequences will need until it ends, each at a quantile of
 * its predicted length. One that ends soon is thus not kept waiting for memory that others need
 * much later. Where a prediction was too small, a sequence is preempted, as without. A sequence of
 * which nothing is known needs what its prompt does: a client that allows the longest output for
 * all, as most do, would otherwise reserve memory as if each became so long.
 *
 * One is made for each step that may admit.
 */
export class BlockForecast {
  readonly #options: BlockForecastOptions;
  readonly #running: { readonly sequence: Sequence; readonly tokens: number }[] = [];

  /** @param running costs O(1) for each, as a step does in any case */
  constructor(options: BlockForecastOptions, running: readonly Sequence[]) {
    this.#options = options;
    for (const sequence of running) this.admitted(sequence);
  }

  /** Whether a waiting sequence fits, beside those that run. Costs O(1) for each of them. */
  fits(sequence: Sequence, prefix: CachedPrefix | null): boolean {
    const { pool } = this.#options.cache;
    // Blocks of its prefix that others use are there already; others are among the free ones.
    const shared = (prefix?.tables ?? [])
      .flat()
      .filter((block) => block !== NO_BLOCK && pool.refCount(block) > 0).length;
    const output = this.#outputOf(sequence);
    const steps = this.#stepsOf(sequence, output);
    let free = pool.numFree - this.#needOf(sequence, tokensOf(sequence, output)) + shared;
    for (const { sequence: other, tokens } of this.#running) {
      if (free < 0) return false;
      const { spec, tokens: own } = other;
      const then = Math.max(spec.promptTokenIds.length, own.length) + steps;
      free -= this.#needOf(other, Math.min(tokens, then));
    }
    return free >= 0;
  }

  /** A sequence runs, with the blocks that it holds now. */
  admitted(sequence: Sequence): void {
    this.#running.push({ sequence, tokens: tokensOf(sequence, this.#outputOf(sequence)) });
  }

  /** Steps until it ends with such an output; infinite where none is known. */
  #stepsOf({ spec }: Sequence, output: number | null): number {
    const prompt = Math.ceil(spec.promptTokenIds.length / this.#options.stepTokens);
    return output === null ? Infinity : prompt + Math.ceil(output);
  }

  /** Tokens that it will probably generate; null: nothing is known. */
  #outputOf(sequence: Sequence): number | null {
    const { predictor, quantile } = this.#options;
    return sequence.spec.maxTokens === 0 ? 0 : predictor.quantile(sequence, quantile);
  }

  /** Blocks that it will need beyond those that it holds, when it has so many tokens. */
  #needOf({ spec, ids, blocks }: Sequence, tokens: number): number {
    const { cache, stepTokens } = this.#options;
    const prompt = spec.promptTokenIds.length;
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

/** Tokens that are computed of a sequence in all: the last one is sampled, but never computed. */
function tokensOf({ spec }: Sequence, output: number | null): number {
  const prompt = spec.promptTokenIds.length;
  return Math.max(prompt, prompt + Math.ceil(output ?? 0) - 1);
}
