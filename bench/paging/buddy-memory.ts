/**
 * Contiguous slots by buddy allocation (Knowlton 1965), as the paper takes Orca to do: pieces are
 * halves of halves of the largest piece, and a piece is joined with its other half when both are
 * free.
 */
export class BuddyMemory {
  readonly #smallest: number;
  readonly #largest: number;
  /** By size: where pieces are free. */
  readonly #free = new Map<number, Set<number>>();
  #reserved = 0;

  /**
   * @param slots a multiple of `largest`
   * @param largest a piece, at most: `smallest` times a power of two
   */
  constructor(slots: number, smallest: number, largest: number) {
    if (slots % largest !== 0) throw new Error(`${slots} slots are no multiple of ${largest}`);
    this.#smallest = smallest;
    this.#largest = largest;
    for (let size = smallest; size <= largest; size *= 2) this.#free.set(size, new Set());
    for (let at = 0; at < slots; at += largest) this.#at(largest).add(at);
  }

  /** Slots of pieces that are taken. */
  get reserved(): number {
    return this.#reserved;
  }

  /** @returns where the piece begins, and its size; null when there is none so large */
  take(slots: number): { readonly at: number; readonly size: number } | null {
    let size = this.#smallest;
    while (size < slots) size *= 2;
    let found = size;
    while (found <= this.#largest && this.#at(found).size === 0) found *= 2;
    if (found > this.#largest) return null;
    const [at] = this.#at(found);
    this.#at(found).delete(at);
    for (; found > size; found /= 2) this.#at(found / 2).add(at + found / 2);
    this.#reserved += size;
    return { at, size };
  }

  give(piece: { readonly at: number; readonly size: number }): void {
    let { at, size } = piece;
    this.#reserved -= size;
    for (; size < this.#largest; size *= 2) {
      const other = Math.floor(at / size) % 2 === 0 ? at + size : at - size;
      if (!this.#at(size).delete(other)) break;
      at = Math.min(at, other);
    }
    this.#at(size).add(at);
  }

  #at(size: number): Set<number> {
    return this.#free.get(size) as Set<number>;
  }
}
