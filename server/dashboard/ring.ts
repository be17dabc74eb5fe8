/** The newest things of a stream, numbered from 0 on: the oldest gives way to the newest. */
export class Ring<T> {
  readonly #items: T[] = [];
  readonly #capacity: number;
  #next = 0;

  constructor(capacity: number) {
    this.#capacity = capacity;
  }

  /** Number of the thing that comes next. */
  get next(): number {
    return this.#next;
  }

  add(item: T): void {
    this.#items[this.#next++ % this.#capacity] = item;
  }

  /** Those with this number and later ones, oldest first, as far as they are still there. */
  since(number: number): T[] {
    const first = Math.max(number, this.#next - this.#capacity, 0);
    return Array.from(
      { length: Math.max(0, this.#next - first) },
      (_, i) => this.#items[(first + i) % this.#capacity],
    );
  }
}
