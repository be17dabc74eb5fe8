import type { EncodedImage } from './encode-image.js';

/** Rows of pictures by their hash, the least recently used going first. */
export class RowCache {
  readonly capacity: number;
  readonly #images = new Map<string, EncodedImage>();
  #bytes = 0;
  #hits = 0;
  #queries = 0;

  /** @param capacity in bytes */
  constructor(capacity: number) {
    this.capacity = capacity;
  }

  get bytes(): number {
    return this.#bytes;
  }

  get hits(): number {
    return this.#hits;
  }

  get queries(): number {
    return this.#queries;
  }

  get(key: string): EncodedImage | null {
    this.#queries += 1;
    const found = this.#images.get(key);
    if (!found) return null;
    this.#hits += 1;
    this.#images.delete(key);
    this.#images.set(key, found);
    return found;
  }

  /** Rows that are larger than all of the cache are not kept. */
  set(key: string, image: EncodedImage): void {
    if (this.#images.has(key) || sizeOf(image) > this.capacity) return;
    this.#images.set(key, image);
    this.#bytes += sizeOf(image);
    for (const [oldest, one] of this.#images) {
      if (this.#bytes <= this.capacity) return;
      this.#images.delete(oldest);
      this.#bytes -= sizeOf(one);
    }
  }

  /** @throws Error when its bytes are miscounted or beyond its capacity */
  checkIntegrity(): void {
    const sum = [...this.#images.values()].reduce((n, image) => n + sizeOf(image), 0);
    if (sum !== this.#bytes) throw new Error(`${sum} bytes are kept, ${this.#bytes} counted`);
    if (sum > this.capacity) throw new Error(`${sum} bytes are kept of ${this.capacity}`);
  }
}

/** In bytes. */
function sizeOf({ rows, deepstack }: EncodedImage): number {
  return rows.byteLength * (1 + deepstack.length);
}
