import type { BlockHistory } from '../block-history.js';
import type { CheckpointTree } from '../checkpoint-tree.js';
import type { BlockHash, BlockId } from '../ids.js';
import { BlockHeap } from './block-heap.js';
import { BlockList } from './block-list.js';
import type { EvictionPolicy } from './eviction-policy.js';

/**
 * For models whose layers keep states: checkpoints and K and V share one budget by computation
 * saved per byte, as Marconi has it (Pan et al. 2024), aged as GreedyDual-Size-Frequency does
 * (Cherkasova 1998). What is given up is a checkpoint with all that only it needs, so a rank
 * belongs to a checkpoint:
 *
 *     rank = age + uses x cost of the tokens that it alone lets skip
 *                         / blocks of the checkpoint and of their K and V
 *
 * The age is the largest rank of those that were given up, so what is not used any more goes in the
 * end. The tokens are those behind the nearest checkpoint before it. All blocks have the same size.
 *
 * A rank is computed when the checkpoint becomes free, and again when it is the smallest, because
 * it grows when the checkpoint before it is lost. (It falls when one is computed between the two,
 * which is noticed at its next use.) That costs O(log n), and O(1) for each block between the two.
 */
export class CheckpointValueEviction implements EvictionPolicy {
  readonly #history: BlockHistory;
  readonly #checkpoints: CheckpointTree;
  readonly #costOf: (from: number, to: number) => number;
  /** Free checkpoints, by their first piece; blocks of windows; blocks without content. */
  readonly #ranked: BlockHeap;
  /**
   * Other pieces, and K and V that a checkpoint needs: they go with it. Taken, the oldest first,
   * only where all checkpoints are in use.
   */
  readonly #needed: BlockList;
  /** By block: the age when it became free. */
  readonly #ages: Float64Array;
  #age = 0;

  /** @param costOf computing the blocks `from` to `to - 1` of a sequence, in units of the first */
  constructor(
    numBlocks: number,
    history: BlockHistory,
    checkpoints: CheckpointTree,
    costOf: (from: number, to: number) => number,
  ) {
    this.#history = history;
    this.#checkpoints = checkpoints;
    this.#costOf = costOf;
    this.#ranked = new BlockHeap(numBlocks);
    this.#needed = new BlockList(numBlocks);
    this.#ages = new Float64Array(numBlocks);
  }

  get size(): number {
    return this.#ranked.size + this.#needed.size;
  }

  has(block: BlockId): boolean {
    return this.#ranked.has(block) || this.#needed.has(block);
  }

  add(block: BlockId, isCached: boolean): void {
    if (this.has(block)) throw new Error(`block ${block} is free already`);
    this.#ages[block] = this.#age;
    if (!isCached) this.#ranked.pushEmpty(block);
    else if (this.#isNeeded(block)) this.#needed.pushTail(block);
    else this.#ranked.push(block, this.#rank(block));
  }

  remove(block: BlockId): void {
    (this.#needed.has(block) ? this.#needed : this.#ranked).remove(block);
  }

  takeNext(): BlockId {
    if (this.#ranked.size === 0) return this.#needed.popHead();
    const block = this.#smallest();
    this.#ranked.remove(block);
    if (this.#history.content(block) !== null) this.#age = Math.max(this.#age, this.#rank(block));
    return block;
  }

  *[Symbol.iterator](): Generator<BlockId> {
    if (this.#ranked.size > 0) this.#smallest();
    yield* this.#ranked;
    yield* this.#needed;
  }

  checkIntegrity(): void {
    this.#ranked.checkIntegrity();
    this.#needed.checkIntegrity();
    for (const block of this.#needed) {
      if (this.#ranked.has(block)) throw new Error(`block ${block} is free twice`);
    }
  }

  #isNeeded(block: BlockId): boolean {
    const { full, pieces } = this.#checkpoints;
    const group = this.#history.group(block);
    return full.includes(group) || pieces.indexOf(group) > 0;
  }

  /** Moves those whose rank has grown, until the first one's is what it is now. */
  #smallest(): BlockId {
    for (;;) {
      const block = this.#ranked.peekMin();
      if (this.#history.content(block) === null) return block;
      const rank = this.#rank(block);
      if (rank <= this.#ranked.rank(block)) return block;
      this.#ranked.remove(block);
      this.#ranked.push(block, rank);
    }
  }

  #rank(block: BlockId): number {
    return this.#ages[block] + this.#history.uses(block) * this.#savedPerBlock(block);
  }

  #savedPerBlock(block: BlockId): number {
    const { full, pieces } = this.#checkpoints;
    const position = this.#history.position(block);
    // K and V of a window.
    if (this.#history.group(block) !== pieces[0]) return this.#costOf(position, position + 1);
    const { above, depth } = this.#checkpoints.span(this.#history.content(block) as BlockHash);
    return this.#costOf(above, depth) / (pieces.length + (depth - above) * full.length);
  }
}
