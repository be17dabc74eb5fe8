/** Share of the places that contents with a hit may hold, so that new ones get a chance. */
const PROTECTED_SHARE = 0.8;

/** A place that was given to a content, and the content that it was taken from. */
export interface TakenPlace<Key> {
  readonly place: number;
  /** Null when the place was empty. */
  readonly evicted: Key | null;
}

/**
 * Which contents a bounded tier holds, in which of its places, and which of them makes room for a
 * new one: segmented LRU (Karedla et al. 1994), so that a flood of contents that are never asked
 * for passes through a fifth of the tier. Pinned contents never make room.
 *
 *     place -> probation --hit--> protected --(more than its share)--> probation
 *                  |
 *                  +--> makes room first, the one that came longest ago
 */
export class TierIndex<Key> {
  readonly capacity: number;
  readonly #places = new Map<Key, number>();
  /** Both from the least to the most recently used; pinned contents are in neither. */
  readonly #probation = new Set<Key>();
  readonly #protected = new Set<Key>();
  /** Number of pins. */
  readonly #pins = new Map<Key, number>();
  /** Contents that were hit, which are protected when they are unpinned. */
  readonly #hit = new Set<Key>();
  readonly #empty: number[] = [];
  #used = 0;

  /** @param capacity number of places, numbered from 0 */
  constructor(capacity: number) {
    this.capacity = capacity;
  }

  get size(): number {
    return this.#places.size;
  }

  has(key: Key): boolean {
    return this.#places.has(key);
  }

  placeOf(key: Key): number | undefined {
    return this.#places.get(key);
  }

  /** The content was asked for. Nothing happens when it is not here. */
  touch(key: Key): void {
    if (!this.#places.has(key)) return;
    this.#hit.add(key);
    if (this.#pins.has(key)) return;
    this.#probation.delete(key);
    this.#protected.delete(key);
    this.#queue(key);
  }

  /**
   * Gives a place to a content that is not here.
   *
   * @returns null when all contents are pinned
   */
  add(key: Key): TakenPlace<Key> | null {
    const taken = this.#takePlace();
    if (!taken) return null;
    this.#places.set(key, taken.place);
    this.#queue(key);
    return taken;
  }

  /** The place becomes empty, even that of a pinned content. */
  remove(key: Key): void {
    const place = this.#places.get(key);
    if (place === undefined) return;
    this.#forget(key);
    this.#empty.push(place);
  }

  /** Keeps a content that is here until as many calls of `unpin`. */
  pin(key: Key): void {
    this.#pins.set(key, (this.#pins.get(key) ?? 0) + 1);
    this.#probation.delete(key);
    this.#protected.delete(key);
  }

  unpin(key: Key): void {
    const pins = (this.#pins.get(key) ?? 0) - 1;
    if (pins > 0) {
      this.#pins.set(key, pins);
      return;
    }
    if (this.#pins.delete(key) && this.#places.has(key)) this.#queue(key);
  }

  isPinned(key: Key): boolean {
    return this.#pins.has(key);
  }

  get numPinned(): number {
    return this.#pins.size;
  }

  /** From the one that makes room last to the one that makes room first; pinned ones come first. */
  *keys(): Generator<Key> {
    yield* this.#pins.keys();
    yield* [...this.#protected].reverse();
    yield* [...this.#probation].reverse();
  }

  #queue(key: Key): void {
    if (!this.#hit.has(key)) {
      this.#probation.add(key);
      return;
    }
    this.#protected.add(key);
    if (this.#protected.size <= this.capacity * PROTECTED_SHARE) return;
    const [oldest] = this.#protected;
    this.#protected.delete(oldest);
    this.#hit.delete(oldest);
    this.#probation.add(oldest);
  }

  #takePlace(): TakenPlace<Key> | null {
    const empty = this.#empty.pop();
    if (empty !== undefined) return { place: empty, evicted: null };
    if (this.#used < this.capacity) return { place: this.#used++, evicted: null };
    const [oldest] = this.#probation.size > 0 ? this.#probation : this.#protected;
    if (oldest === undefined) return null;
    const place = this.#places.get(oldest) as number;
    this.#forget(oldest);
    return { place, evicted: oldest };
  }

  #forget(key: Key): void {
    this.#places.delete(key);
    this.#probation.delete(key);
    this.#protected.delete(key);
    this.#hit.delete(key);
    this.#pins.delete(key);
  }
}
