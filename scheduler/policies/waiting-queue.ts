import { compareRank, type Ranked } from './rank.js';

/**
 * Items by rank: a binary heap that knows the place of each item, so that an abort in the middle of
 * a long queue costs O(log n). The rank of an item must not change while it is here.
 */
export class WaitingQueue<R extends Ranked> {
  readonly #heap: R[] = [];
  readonly #positions = new Map<R, number>();

  get size(): number {
    return this.#heap.length;
  }

  peek(): R | undefined {
    return this.#heap[0];
  }

  push(item: R): void {
    if (this.#positions.has(item)) throw new Error('the item is in the queue already');
    this.#place(item, this.#heap.length);
    this.#siftUp(this.#heap.length - 1);
  }

  /** @returns false when the item is not here */
  remove(item: R): boolean {
    const position = this.#positions.get(item);
    if (position === undefined) return false;
    this.#positions.delete(item);
    const last = this.#heap.pop() as R;
    if (last !== item) {
      this.#place(last, position);
      this.#siftUp(position);
      this.#siftDown(this.#positions.get(last) as number);
    }
    return true;
  }

  /** In no particular order. */
  [Symbol.iterator](): Iterator<R> {
    return this.#heap.values();
  }

  #siftUp(start: number): void {
    let child = start;
    while (child > 0) {
      const parent = (child - 1) >> 1;
      if (!this.#swapUnordered(parent, child)) return;
      child = parent;
    }
  }

  #siftDown(start: number): void {
    let parent = start;
    for (;;) {
      const left = 2 * parent + 1;
      if (left >= this.#heap.length) return;
      const right = left + 1;
      const smaller =
        right < this.#heap.length && compareRank(this.#heap[right], this.#heap[left]) < 0
          ? right
          : left;
      if (!this.#swapUnordered(parent, smaller)) return;
      parent = smaller;
    }
  }

  #swapUnordered(parent: number, child: number): boolean {
    const above = this.#heap[parent];
    const below = this.#heap[child];
    if (compareRank(above, below) <= 0) return false;
    this.#place(below, parent);
    this.#place(above, child);
    return true;
  }

  #place(item: R, position: number): void {
    this.#heap[position] = item;
    this.#positions.set(item, position);
  }
}
