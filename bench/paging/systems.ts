import type { BlockCopy } from '../../kvcache/kv-cache-config.js';
import { KvCacheManager } from '../../kvcache/kv-cache-manager.js';
import type { CachedPrefix } from '../../kvcache/prefix-lookup.js';
import type { SequenceBlocks } from '../../kvcache/sequence-blocks.js';
import { Scheduler } from '../../scheduler/scheduler.js';
import { simulatedHistory } from '../eviction/simulated-cache.js';
import { BLOCK_SIZE } from '../eviction/trace.js';
import { BuddyMemory } from './buddy-memory.js';

/** Of the model, as the paper has it: what Orca(Max) reserves. */
export const MAX_LENGTH = 2048;
export const STEP_TOKENS = 512;
/** Enough, so that memory is what limits the batch. */
const MAX_RUNNING = 256;

/** Lengths of a request. */
export interface Lengths {
  readonly prompt: number;
  readonly output: number;
}

/** Slots that a system reserves for a request, in one piece; null: it pages. */
export type Reserve = ((lengths: Lengths) => number) | null;

export interface System {
  readonly name: string;
  readonly reserve: Reserve;
  readonly admissionQuantile?: number;
}

/** The paper's systems (Kwon et al. 2023, section 6.1). */
export const SYSTEMS: readonly System[] = [
  { name: 'Orca (Max)', reserve: () => MAX_LENGTH },
  {
    name: 'Orca (Pow2)',
    reserve: ({ prompt, output }) =>
      Math.min(MAX_LENGTH, prompt + 2 ** Math.ceil(Math.log2(output))),
  },
  { name: 'Orca (Oracle)', reserve: ({ prompt, output }) => prompt + output },
  { name: 'paging', reserve: null, admissionQuantile: 0.2 },
  { name: 'paging, admission 0', reserve: null },
];
/** The system with which all are compared. */
export const PAGING = 3;

/**
 * A cache that also reserves memory in one piece for each sequence, from its first step to its end,
 * and lets none in that gets no piece. The pages are where they always are, and fewer.
 */
class ReservingCache extends KvCacheManager {
  readonly #memory: BuddyMemory;
  readonly #slotsOf: (sequence: SequenceBlocks) => number;
  readonly #pieces = new Map<SequenceBlocks, NonNullable<ReturnType<BuddyMemory['take']>>>();

  constructor(
    config: ConstructorParameters<typeof KvCacheManager>[0],
    slotsOf: (sequence: SequenceBlocks) => number,
  ) {
    super(config);
    this.#slotsOf = slotsOf;
    this.#memory = new BuddyMemory(config.numBlocks * BLOCK_SIZE, BLOCK_SIZE, MAX_LENGTH);
  }

  get reserved(): number {
    return this.#memory.reserved;
  }

  override reserve(
    sequence: SequenceBlocks,
    numComputed: number,
    numTokens: number,
    prefix: CachedPrefix | null = null,
    numProposed = 0,
  ): BlockCopy[] | null {
    if (!this.#pieces.has(sequence)) {
      const piece = this.#memory.take(this.#slotsOf(sequence));
      if (!piece) return null;
      this.#pieces.set(sequence, piece);
    }
    const copies = super.reserve(sequence, numComputed, numTokens, prefix, numProposed);
    if (!copies) throw new Error('a piece of memory has fewer pages than it needs');
    return copies;
  }

  override release(sequence: SequenceBlocks, returns = false): void {
    const piece = this.#pieces.get(sequence);
    if (piece) this.#memory.give(piece);
    this.#pieces.delete(sequence);
    super.release(sequence, returns);
  }
}

/** A scheduler over a cache that manages memory as a system does. */
export interface SystemUnderTest {
  readonly scheduler: Scheduler;
  readonly cache: KvCacheManager;
  /** Slots that cannot be given to others now. */
  reservedSlots(): number;
}

/**
 * @param slots tokens that the memory holds
 * @param lengthsOf a request, by the key that it gives as `reuse.key`
 */
export function createSystem(
  { reserve, admissionQuantile = 0 }: System,
  slots: number,
  lengthsOf: (key: string) => Lengths,
): SystemUnderTest {
  const numBlocks = slots / BLOCK_SIZE;
  const history = simulatedHistory(numBlocks);
  const config = { numBlocks, blockSize: BLOCK_SIZE, enablePrefixCaching: false, history };
  const schedulerOf = (cache: KvCacheManager): Scheduler =>
    new Scheduler(
      {
        policy: 'fcfs',
        admissionQuantile,
        maxNumSeqs: MAX_RUNNING,
        maxNumBatchedTokens: STEP_TOKENS,
        longPrefillThreshold: 0,
        maxModelLength: MAX_LENGTH,
        switchLengths: [],
        modelFingerprint: 'bench',
      },
      cache,
    );
  if (reserve === null) {
    const cache = new KvCacheManager(config);
    const reservedSlots = (): number => cache.pool.numUsed * BLOCK_SIZE;
    return { cache, scheduler: schedulerOf(cache), reservedSlots };
  }
  const cache = new ReservingCache(config, ({ reuse }) => reserve(lengthsOf(reuse.key as string)));
  return { cache, scheduler: schedulerOf(cache), reservedSlots: () => cache.reserved };
}
