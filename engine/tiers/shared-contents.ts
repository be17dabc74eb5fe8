import type { BlockHistory } from '../../kvcache/block-history.js';
import type { BlockHash, BlockId } from '../../kvcache/ids.js';
import type { GroupContent } from '../../kvcache/tier-contents.js';
import { type BlockKey, type BlockTier, blockKey } from './block-tier.js';
import type { CopyOuts } from './copy-outs.js';
import type { MemoryTier } from './memory-tier.js';
import { Reuse } from './reuse.js';
import type { WriteBehind } from './write-behind.js';

/** Contents that are copied out of pages that stay in use, after one step, at most: 0.1 ms each. */
const MOST_COPIES = 16;

/** Contents that are remembered as kept by a tier. */
const MOST_KEPT = 65_536;

/** Contents that wait to be copied out, at most: what comes beyond waits for its next use. */
const MOST_WAITING = 4096;

export interface SharedContentsOptions {
  /** Those that get what is asked for again. */
  readonly tiers: readonly BlockTier[];
  readonly memory: MemoryTier;
  readonly writes: WriteBehind;
  readonly history: BlockHistory;
  readonly copyOuts: CopyOuts;
}

/**
 * Carries contents that are asked for again (`Reuse`) to the tiers that several servers share.
 * These servers tell each other by the tier's marks what each of them is asked for and generates,
 * so that it does not matter which of them a prompt comes to.
 */
export class SharedContents {
  readonly #options: SharedContentsOptions;
  #reuse = new Reuse();
  /** Contents that the tiers have, as far as is known. */
  readonly #kept = new Set<BlockKey>();
  /** Blocks whose pages hold what is to be kept. */
  readonly #waiting: { readonly block: BlockId; readonly hash: BlockHash }[] = [];
  #generated = new Set<BlockHash>();

  constructor(options: SharedContentsOptions) {
    this.#options = options;
  }

  /**
   * A sequence asks for contents that the pages do not have, at least in some group of layers.
   * Resolves when other servers have answered, too.
   */
  async asked(contents: readonly GroupContent[]): Promise<void> {
    if (!this.#hasTiers) return;
    const hashes = [...new Set(contents.map(({ hash }) => hash))];
    for (const hash of hashes) this.#reuse.asked(hash);
    for (const { marks } of this.#options.tiers) {
      if (!marks) continue;
      const [asked, generated] = await Promise.all([
        marks.mark('asked', hashes),
        marks.marked('generated', hashes),
      ]);
      for (const [i, hash] of hashes.entries()) {
        if (generated[i]) this.#reuse.continued(hash);
        else if (asked[i]) this.#reuse.reused(hash);
      }
    }
  }

  /** A sequence has found a block in the pages. */
  hit(block: BlockId, hash: BlockHash): void {
    if (!this.#hasTiers) return;
    this.#reuse.reused(hash);
    this.#keepLater(block, hash);
  }

  /** The pages have a block that they did not have, or will have it after this step. */
  stored(block: BlockId, hash: BlockHash, parent: BlockHash | null): void {
    if (!this.#hasTiers) return;
    if (this.#reuse.stored(hash, parent)) this.#generated.add(hash);
    if (this.#reuse.isReused(hash)) this.#keepLater(block, hash);
  }

  /** A content has left the pages, and is in memory. */
  evicted(key: BlockKey, hash: BlockHash): void {
    if (this.#hasTiers && this.#reuse.isReused(hash)) this.#keep(key);
  }

  /** A tier was asked for a content. */
  answered(key: BlockKey, tier: BlockTier, isThere: boolean): void {
    if (!this.#options.tiers.includes(tier)) return;
    if (isThere) this.#noteKept(key);
    else this.#kept.delete(key);
  }

  /** Call after each step. What it notes is to be copied out then. */
  settle(): void {
    const { copyOuts, history, writes } = this.#options;
    // What finds no place to be written from waits in its pages.
    const count = Math.max(0, Math.min(MOST_COPIES, writes.room));
    for (const { block, hash } of this.#waiting.splice(0, count)) {
      // In the meantime, the block may have been given to another content.
      if (history.content(block) !== hash) continue;
      copyOuts.note(block, hash, (key) => this.#keep(key));
    }
    if (this.#generated.size === 0) return;
    const generated = [...this.#generated];
    for (const { marks } of this.#options.tiers) void marks?.mark('generated', generated);
    this.#generated.clear();
  }

  clear(): void {
    this.#reuse = new Reuse();
    this.#kept.clear();
    this.#waiting.length = 0;
    this.#generated.clear();
  }

  get #hasTiers(): boolean {
    return this.#options.tiers.length > 0;
  }

  /** The block may be one that this very step computes: its pages are read after the step. */
  #keepLater(block: BlockId, hash: BlockHash): void {
    const key = blockKey(this.#options.history.group(block), hash);
    if (this.#kept.has(key) || this.#waiting.length >= MOST_WAITING) return;
    this.#waiting.push({ block, hash });
  }

  /** Lets a content that is in memory be written. */
  #keep(key: BlockKey): void {
    const { memory, tiers, writes } = this.#options;
    if (this.#kept.has(key) || !memory.holds(key) || writes.room <= 0) return;
    for (const tier of tiers) writes.add(key, tier);
    this.#noteKept(key);
  }

  #noteKept(key: BlockKey): void {
    this.#kept.delete(key);
    this.#kept.add(key);
    if (this.#kept.size <= MOST_KEPT) return;
    const [oldest] = this.#kept;
    this.#kept.delete(oldest);
  }
}
