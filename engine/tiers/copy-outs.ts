import type { BlockHistory } from '../../kvcache/block-history.js';
import type { BlockHash, BlockId } from '../../kvcache/ids.js';
import { type BlockKey, blockKey } from './block-tier.js';
import type { BlockTransfer } from './block-transfer.js';
import type { MemoryTier } from './memory-tier.js';

interface CopyOut {
  readonly block: BlockId;
  readonly key: BlockKey;
  /** Whether memory did not have it. */
  readonly isNew: boolean;
  readonly whenCopied: (key: BlockKey) => void;
}

/**
 * Copies contents out of the pages. What a plan gives up is noted while the plan is made, and read
 * in one call before the step writes any page: until then, each page holds what its block's hash
 * says.
 */
export class CopyOuts {
  readonly #pages: BlockTransfer;
  readonly #memory: MemoryTier;
  readonly #history: BlockHistory;
  #noted: CopyOut[] = [];

  constructor(pages: BlockTransfer, memory: MemoryTier, history: BlockHistory) {
    this.#pages = pages;
    this.#memory = memory;
    this.#history = history;
  }

  /** Contents that are noted. */
  get size(): number {
    return this.#noted.length;
  }

  /**
   * Notes a content. Memory has it from now on, so that the same plan can load it; it may lose it
   * again for one that is noted later.
   *
   * @param whenCopied called when the content was read, or its place was given to another one
   */
  note(block: BlockId, hash: BlockHash, whenCopied: (key: BlockKey) => void): void {
    const key = blockKey(this.#history.group(block), hash);
    this.#noted.push({ block, key, isNew: this.#memory.reserve(key), whenCopied });
  }

  /** Reads what was noted, as far as it has a place. A rejection is final. */
  async flush(): Promise<void> {
    if (this.#noted.length === 0) return;
    const noted = this.#noted;
    this.#noted = [];
    const blocks: BlockId[] = [];
    const keys: BlockKey[] = [];
    const places: Uint8Array[] = [];
    for (const { block, key, isNew } of noted) {
      const place = isNew ? this.#memory.peek(key) : null;
      if (!place) continue;
      // What arrives from other tiers meanwhile must find another place.
      this.#memory.pin(key);
      blocks.push(block);
      keys.push(key);
      places.push(place);
    }
    await this.#pages.read(blocks, places);
    for (const key of keys) this.#memory.unpin(key);
    for (const { key, whenCopied } of noted) whenCopied(key);
  }
}
