import type { BlockKey, BlockTier } from './block-tier.js';
import type { MemoryTier } from './memory-tier.js';

/** Share of the places in memory that may wait to be written: more are given up. */
const MOST_WAITING = 0.5;

/**
 * Carries contents from memory to farther tiers after the step in which they came. While one is
 * written, it keeps its place in memory. Tiers that fall behind get less: what finds too much
 * before it is dropped.
 */
export class WriteBehind {
  readonly #memory: MemoryTier;
  readonly #far: readonly BlockTier[];
  #added: BlockKey[] = [];
  readonly #writing = new Set<Promise<void>>();
  readonly #mostWaiting: number;
  #numWriting = 0;

  constructor(memory: MemoryTier, far: readonly BlockTier[]) {
    this.#memory = memory;
    this.#far = far;
    this.#mostWaiting = Math.max(1, Math.floor(memory.capacity * MOST_WAITING));
  }

  /** A content that has come to memory. */
  add(key: BlockKey): void {
    if (this.#far.length === 0 || !this.#memory.holds(key)) return;
    this.#memory.pin(key);
    this.#added.push(key);
  }

  /** Begins to write what was added. */
  flush(): void {
    if (this.#added.length === 0) return;
    const keys = this.#added.slice(0, Math.max(0, this.#mostWaiting - this.#numWriting));
    for (const key of this.#added.slice(keys.length)) this.#memory.unpin(key);
    this.#added = [];
    if (keys.length === 0) return;
    this.#numWriting += keys.length;
    const writing = this.#write(keys).finally(() => {
      this.#numWriting -= keys.length;
      for (const key of keys) this.#memory.unpin(key);
      this.#writing.delete(writing);
    });
    this.#writing.add(writing);
  }

  /** Contents that may be added until the next `drain`. */
  get room(): number {
    return this.#mostWaiting - this.#numWriting - this.#added.length;
  }

  /** Writes what was added, and waits for all that is being written. */
  async drain(): Promise<void> {
    this.flush();
    await Promise.all(this.#writing);
  }

  async #write(keys: readonly BlockKey[]): Promise<void> {
    const places = keys.map((key) => this.#memory.peek(key) as Uint8Array);
    await Promise.all(this.#far.map(async (tier) => tier.store(keys, places)));
  }
}
