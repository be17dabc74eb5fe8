import type { BlockHash } from '../../kvcache/ids.js';
import type { SequenceBlocks } from '../../kvcache/sequence-blocks.js';
import type { Sequence } from '../sequence.js';
import type { SchedulingPolicy } from './scheduling-policy.js';
import { WaitingQueue } from './waiting-queue.js';

/** Milliseconds by which the longest cached prefix goes before none at all. */
export const LONGEST_HEAD_START_MS = 30_000;

/** Tokens of a cached prefix that give half of that. */
export const HALF_HEAD_START_TOKENS = 1000;

/** What the policy asks of the cache. */
export interface PrefixSource {
  /** Tokens of a sequence that need not be computed, as the cache is now. */
  cachedTokens(sequence: Sequence): number;
  /**
   * The hash of the first block that cannot be found, behind `cachedTokens` ones; null when the
   * prefix cannot become longer.
   */
  missingBlock(sequence: Sequence, cachedTokens: number): BlockHash | null;
}

/** A waiting sequence. */
interface Waiter {
  readonly cachedTokens: number;
  /** With this block its prefix becomes longer. */
  readonly missing: BlockHash | null;
}

/**
 * Longest cached prefix first (as in SGLang, Zheng et al. 2024, section 3.1): what is in the cache
 * is used before it is given up, and requests that begin alike run together. A sequence's rank is
 * its arrival minus a head start, which grows with its cached prefix and is bounded. So a sequence
 * can be overtaken only by those that arrive within that bound after it, and never starves.
 *
 * Prefixes change while sequences wait. Each one watches the first block that it lacks: when that
 * is computed for another sequence, its rank is taken again. A block that is given up is noticed
 * only when a sequence that needs it is next: until then its rank may promise too much, never too
 * little.
 */
export class LongestPrefixPolicy implements SchedulingPolicy {
  readonly #prefixes: PrefixSource;
  readonly #queue = new WaitingQueue<Sequence>();
  readonly #waiters = new Map<Sequence, Waiter>();
  readonly #watching = new Map<BlockHash, Set<Sequence>>();

  constructor(prefixes: PrefixSource) {
    this.#prefixes = prefixes;
  }

  get size(): number {
    return this.#queue.size;
  }

  add(sequence: Sequence): void {
    this.#enter(sequence, this.#prefixes.cachedTokens(sequence));
  }

  remove(sequence: Sequence): boolean {
    if (!this.#queue.remove(sequence)) return false;
    const { missing } = this.#waiters.get(sequence) as Waiter;
    this.#waiters.delete(sequence);
    if (missing === null) return true;
    const watchers = this.#watching.get(missing) as Set<Sequence>;
    watchers.delete(sequence);
    if (watchers.size === 0) this.#watching.delete(missing);
    return true;
  }

  next(): Sequence | undefined {
    for (;;) {
      const sequence = this.#queue.peek();
      if (!sequence) return undefined;
      const cachedTokens = this.#prefixes.cachedTokens(sequence);
      if (this.#waiters.get(sequence)?.cachedTokens === cachedTokens) return sequence;
      this.remove(sequence);
      this.#enter(sequence, cachedTokens);
    }
  }

  cached(blocks: SequenceBlocks, first: number): void {
    if (this.#watching.size === 0) return;
    // All blocks of one step at once, so that a prefix is looked up once for all of them.
    const longer = new Set<Sequence>();
    for (let index = first; index < blocks.numCommitted; index++) {
      const watchers = this.#watching.get(blocks.hashes[index]);
      for (const sequence of watchers ?? []) {
        // One that is about to be admitted computes them itself.
        if (sequence.blocks !== blocks) longer.add(sequence);
      }
    }
    for (const sequence of longer) {
      this.remove(sequence);
      this.add(sequence);
    }
  }

  [Symbol.iterator](): Iterator<Sequence> {
    return this.#queue[Symbol.iterator]();
  }

  checkIntegrity(): void {
    let watching = 0;
    for (const [sequence, { missing }] of this.#waiters) {
      if (missing === null) continue;
      watching += 1;
      if (this.#watching.get(missing)?.has(sequence)) continue;
      throw new Error(`${sequence.ids[0]} waits for a block and is not told of it`);
    }
    const told = [...this.#watching.values()].reduce((sum, { size }) => sum + size, 0);
    if (told !== watching || this.#waiters.size !== this.#queue.size) {
      throw new Error(`${this.#queue.size} wait, ${this.#waiters.size} known, ${told} are told`);
    }
  }

  #enter(sequence: Sequence, cachedTokens: number): void {
    const missing = this.#prefixes.missingBlock(sequence, cachedTokens);
    this.#waiters.set(sequence, { cachedTokens, missing });
    if (missing !== null) {
      const watchers = this.#watching.get(missing) ?? new Set();
      this.#watching.set(missing, watchers.add(sequence));
    }
    const headStart =
      (LONGEST_HEAD_START_MS * cachedTokens) / (cachedTokens + HALF_HEAD_START_TOKENS);
    sequence.rank = sequence.spec.arrivalTime - headStart;
    this.#queue.push(sequence);
  }
}
