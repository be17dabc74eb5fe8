import type { BlockId } from '../ids.js';

const NOT_QUEUED = -1;

/**
 * Blocks in an order: an intrusive doubly linked list over two typed arrays. A prefix hit takes a
 * free block out of the middle, so a deque would cost O(n) where this costs O(1), and no node is
 * ever allocated.
 *
 * Slot `capacity` is the sentinel: its `next` is the head, its `previous` the tail.
 */
export class BlockList {
  readonly #next: Int32Array;
  readonly #previous: Int32Array;
  readonly #sentinel: number;
  #size = 0;

  /** An empty list for the block ids 0 to `capacity - 1`. */
  constructor(capacity: number) {
    this.#sentinel = capacity;
    this.#next = new Int32Array(capacity + 1).fill(NOT_QUEUED);
    this.#previous = new Int32Array(capacity + 1).fill(NOT_QUEUED);
    this.#next[capacity] = capacity;
    this.#previous[capacity] = capacity;
  }

  get size(): number {
    return this.#size;
  }

  has(block: BlockId): boolean {
    return this.#next[block] !== NOT_QUEUED;
  }

  pushHead(block: BlockId): void {
    this.#insert(this.#sentinel, block);
  }

  pushTail(block: BlockId): void {
    this.#insert(this.#previous[this.#sentinel], block);
  }

  popHead(): BlockId {
    const head = this.#next[this.#sentinel] as BlockId;
    if (head === this.#sentinel) throw new Error('the list of blocks is empty');
    this.remove(head);
    return head;
  }

  remove(block: BlockId): void {
    if (!this.has(block)) throw new Error(`block ${block} is not in the list`);
    const next = this.#next[block];
    const previous = this.#previous[block];
    this.#next[previous] = next;
    this.#previous[next] = previous;
    this.#next[block] = NOT_QUEUED;
    this.#previous[block] = NOT_QUEUED;
    this.#size -= 1;
  }

  /** Head to tail. The list must not change meanwhile. */
  *[Symbol.iterator](): Generator<BlockId> {
    let block = this.#next[this.#sentinel];
    while (block !== this.#sentinel) {
      yield block as BlockId;
      block = this.#next[block];
    }
  }

  /** @throws Error when links and size disagree. */
  checkIntegrity(): void {
    let count = 0;
    let previous = this.#sentinel;
    for (const block of this) {
      if (this.#previous[block] !== previous) throw new Error(`broken link before block ${block}`);
      previous = block;
      count += 1;
      if (count > this.#sentinel) throw new Error('the list of blocks has a cycle');
    }
    if (this.#previous[this.#sentinel] !== previous) throw new Error('the tail link is broken');
    if (count !== this.#size) throw new Error(`${count} blocks linked, size says ${this.#size}`);
  }

  #insert(after: number, block: BlockId): void {
    if (this.has(block)) throw new Error(`block ${block} is in the list already`);
    const next = this.#next[after];
    this.#next[after] = block;
    this.#previous[block] = after;
    this.#next[block] = next;
    this.#previous[next] = block;
    this.#size += 1;
  }
}
