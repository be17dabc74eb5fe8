import type { BlockId } from '../ids.js';

const NOT_QUEUED = -1;

/** Rank of blocks without content: before all others. */
export const WITHOUT_CONTENT = Number.NEGATIVE_INFINITY;

/**
 * Blocks by rank: a binary min-heap over typed arrays that knows where each block is, so that a hit
 * takes one out of the middle in O(log n). Among equal ranks, the block that was added first is
 * taken first: a sequence releases its last block first, so the tail of a chain is reused before
 * its head. Blocks without content go in the opposite order, as a stack: the memory that was used
 * last is used again first, and a new pool gives its blocks from 0 on.
 */
export class BlockHeap {
  /** Blocks; entry 0 has the smallest rank. */
  readonly #heap: Int32Array;
  /** By block: its index in the heap. */
  readonly #places: Int32Array;
  readonly #ranks: Float64Array;
  /** By block: the number of blocks added before it; negative for one without content. */
  readonly #arrivals: Float64Array;
  #size = 0;
  #arrived = 0;

  /** An empty heap for the block ids 0 to `capacity - 1`. */
  constructor(capacity: number) {
    this.#heap = new Int32Array(capacity);
    this.#places = new Int32Array(capacity).fill(NOT_QUEUED);
    this.#ranks = new Float64Array(capacity);
    this.#arrivals = new Float64Array(capacity);
  }

  get size(): number {
    return this.#size;
  }

  has(block: BlockId): boolean {
    return this.#places[block] !== NOT_QUEUED;
  }

  /** The rank with which the block was last added. */
  rank(block: BlockId): number {
    return this.#ranks[block];
  }

  push(block: BlockId, rank: number): void {
    this.#add(block, rank, this.#arrived++);
  }

  pushEmpty(block: BlockId): void {
    this.#add(block, WITHOUT_CONTENT, -this.#arrived++);
  }

  /** The block that `popMin` takes. */
  peekMin(): BlockId {
    if (this.#size === 0) throw new Error('the heap of blocks is empty');
    return this.#heap[0] as BlockId;
  }

  popMin(): BlockId {
    const block = this.peekMin();
    this.remove(block);
    return block;
  }

  remove(block: BlockId): void {
    if (!this.has(block)) throw new Error(`block ${block} is not in the heap`);
    const place = this.#places[block];
    this.#size -= 1;
    this.#places[block] = NOT_QUEUED;
    if (place === this.#size) return;
    const last = this.#heap[this.#size];
    this.#put(last, place);
    this.#rise(last);
    this.#sink(last);
  }

  /** In the order of `popMin`: sorts a copy, O(n log n). */
  *[Symbol.iterator](): Generator<BlockId> {
    const blocks = this.#heap.slice(0, this.#size);
    blocks.sort((a, b) => (this.#isBefore(a, b) ? -1 : 1));
    for (const block of blocks) yield block as BlockId;
  }

  /** @throws Error when order and places disagree. */
  checkIntegrity(): void {
    for (let place = 0; place < this.#size; place++) {
      const block = this.#heap[place];
      if (this.#places[block] !== place) throw new Error(`block ${block} is not at ${place}`);
      const parent = this.#heap[(place - 1) >> 1];
      if (place > 0 && this.#isBefore(block, parent)) {
        throw new Error(`block ${block} is below block ${parent} in the heap`);
      }
    }
    const queued = this.#places.reduce((sum, place) => sum + Number(place !== NOT_QUEUED), 0);
    if (queued !== this.#size) throw new Error(`${queued} blocks queued, size says ${this.#size}`);
  }

  #add(block: BlockId, rank: number, arrival: number): void {
    if (this.has(block)) throw new Error(`block ${block} is in the heap already`);
    this.#ranks[block] = rank;
    this.#arrivals[block] = arrival;
    this.#put(block, this.#size);
    this.#size += 1;
    this.#rise(block);
  }

  #isBefore(a: number, b: number): boolean {
    const [rank, other] = [this.#ranks[a], this.#ranks[b]];
    return rank === other ? this.#arrivals[a] < this.#arrivals[b] : rank < other;
  }

  #rise(block: number): void {
    let place = this.#places[block];
    while (place > 0) {
      const parent = this.#heap[(place - 1) >> 1];
      if (!this.#isBefore(block, parent)) break;
      this.#put(parent, place);
      place = (place - 1) >> 1;
    }
    this.#put(block, place);
  }

  #sink(block: number): void {
    let place = this.#places[block];
    for (;;) {
      let child = 2 * place + 1;
      if (child >= this.#size) break;
      if (child + 1 < this.#size && this.#isBefore(this.#heap[child + 1], this.#heap[child])) {
        child += 1;
      }
      if (!this.#isBefore(this.#heap[child], block)) break;
      this.#put(this.#heap[child], place);
      place = child;
    }
    this.#put(block, place);
  }

  #put(block: number, place: number): void {
    this.#heap[place] = block;
    this.#places[block] = place;
  }
}
