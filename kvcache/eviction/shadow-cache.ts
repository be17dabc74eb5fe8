import type { BlockHash, BlockId } from '../ids.js';
import { BlockHeap } from './block-heap.js';
import { hashBits } from './frequency-sketch.js';

/** Contents that a shadow holds, at most. */
const MOST_SHADOWED = 1024;
/** What another setting must have saved, compared with the present one. */
const MARGIN = 1.02;
/** What is left of old savings after each choice. */
const DECAY = 0.8;

/**
 * A cache that holds nothing but the names of contents, and counts what its hits would have saved.
 */
class ShadowCache {
  /** Computation saved, of late. */
  saved = 0;
  readonly #slots = new Map<BlockHash, BlockId>();
  readonly #contents: BlockHash[] = [];
  readonly #heap: BlockHeap;
  readonly #capacity: number;

  constructor(capacity: number) {
    this.#capacity = capacity;
    this.#heap = new BlockHeap(capacity);
  }

  access(content: BlockHash, rank: number, cost: number): void {
    let slot = this.#slots.get(content);
    if (slot !== undefined) {
      this.saved += cost;
      this.#heap.remove(slot);
    } else if (this.#heap.size < this.#capacity) slot = this.#heap.size as BlockId;
    else {
      slot = this.#heap.popMin();
      this.#slots.delete(this.#contents[slot]);
    }
    this.#slots.set(content, slot);
    this.#contents[slot] = content;
    this.#heap.push(slot, rank);
  }
}

/**
 * Chooses a setting by what each would have saved on the server's own trace: for each there is a
 * shadow cache that sees the same uses. Shadows are miniatures (Waldspurger et al. 2017): they see
 * a sample of the contents, chosen by hash, and hold the same share of the blocks, so that their
 * cost does not grow with the pool.
 */
export class ShadowTuner {
  readonly #period: number;
  readonly #sampling: number;
  readonly #shadows: readonly ShadowCache[];
  #chosen: number;
  #accesses = 0;

  /**
   * @param numSettings that are compared
   * @param first which of them holds until there is an answer
   */
  constructor(numBlocks: number, numSettings: number, first: number) {
    this.#period = numBlocks;
    this.#sampling = Math.ceil(numBlocks / MOST_SHADOWED);
    const capacity = Math.ceil(numBlocks / this.#sampling);
    this.#shadows = Array.from({ length: numSettings }, () => new ShadowCache(capacity));
    this.#chosen = first;
  }

  /** Index of the setting that saved most of late. */
  get chosen(): number {
    return this.#chosen;
  }

  /**
   * A content was used.
   *
   * @param rankOf by setting: in its cache, the smallest rank goes first
   * @param cost of computing it again
   * @returns whether another setting is chosen now: at most once in as many uses as the pool has
   *   blocks
   */
  access(content: BlockHash, rankOf: (setting: number) => number, cost: number): boolean {
    if (hashBits(content, 20) % this.#sampling === 0) {
      for (const [setting, shadow] of this.#shadows.entries()) {
        shadow.access(content, rankOf(setting), cost);
      }
    }
    this.#accesses += 1;
    return this.#accesses % this.#period === 0 && this.#choose();
  }

  #choose(): boolean {
    const before = this.#chosen;
    let most = this.#shadows[before].saved * MARGIN;
    for (const [setting, shadow] of this.#shadows.entries()) {
      if (shadow.saved > most) {
        most = shadow.saved;
        this.#chosen = setting;
      }
      shadow.saved *= DECAY;
    }
    return this.#chosen !== before;
  }
}
