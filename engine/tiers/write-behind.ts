import type { BlockKey, BlockTier } from './block-tier.js';
import type { MemoryTier } from './memory-tier.js';

/** Share of the places in memory that may wait to be written: what comes beyond is given up. */
const MOST_WAITING = 0.5;

/**
 * Carries contents from memory to farther tiers after the step in which they came. While one is
 * written, it keeps its place in memory. Tiers that fall behind get less: what finds too much
 * before it is dropped.
 */
export class WriteBehind {
  readonly #memory: MemoryTier;
  readonly #mostWaiting: number;
  #added = new Map<BlockTier, BlockKey[]>();
  #numAdded = 0;
  #numWriting = 0;
  readonly #writingTo = new Map<BlockTier, number>();
  readonly #writing = new Set<Promise<void>>();

  constructor(memory: MemoryTier) {
    this.#memory = memory;
    this.#mostWaiting = Math.max(1, Math.floor(memory.capacity * MOST_WAITING));
  }

  /** Contents that may be added until the next `drain`. */
  get room(): number {
    return this.#mostWaiting - this.#numWriting - this.#numAdded;
  }

  /** Contents that wait to be written to a tier, or are being written. */
  queued(tier: BlockTier): number {
    return (this.#added.get(tier)?.length ?? 0) + (this.#writingTo.get(tier) ?? 0);
  }

  /** A content that is in memory is to be written to a tier. Without room, nothing happens. */
  add(key: BlockKey, tier: BlockTier): void {
    if (this.room <= 0 || !this.#memory.holds(key)) return;
    this.#memory.pin(key);
    this.#numAdded += 1;
    const keys = this.#added.get(tier);
    if (keys) keys.push(key);
    else this.#added.set(tier, [key]);
  }

  /** Begins to write what was added. */
  flush(): void {
    for (const [tier, keys] of this.#added) {
      this.#count(tier, keys.length);
      const writing = this.#write(tier, keys).finally(() => {
        this.#count(tier, -keys.length);
        for (const key of keys) this.#memory.unpin(key);
        this.#writing.delete(writing);
      });
      this.#writing.add(writing);
    }
    this.#added = new Map();
    this.#numAdded = 0;
  }

  /** Writes what was added, and waits for all that is being written. */
  async drain(): Promise<void> {
    this.flush();
    await Promise.all(this.#writing);
  }

  #count(tier: BlockTier, more: number): void {
    this.#numWriting += more;
    this.#writingTo.set(tier, (this.#writingTo.get(tier) ?? 0) + more);
  }

  async #write(tier: BlockTier, keys: readonly BlockKey[]): Promise<void> {
    const places = keys.map((key) => this.#memory.peek(key) as Uint8Array);
    await tier.store(keys, places);
  }
}
