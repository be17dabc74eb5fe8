import { TierIndex } from '../../kvcache/tier-index.js';
import { OctavoError } from '../errors.js';
import type { TierState } from '../protocol/reports.js';
import type { BlockKey, BlockTier } from './block-tier.js';

/** Memory is taken from the system in pieces of this size, when they are first needed. */
const CHUNK_BYTES = 64 * 2 ** 20;

export interface MemoryTierOptions {
  /** Bytes that contents may occupy. */
  readonly capacityBytes: number;
  readonly bytesPerBlock: number;
}

/**
 * Contents in the host's memory. It is also where contents of farther tiers arrive, and where those
 * lie that are still to be written there: its places are shared memory, which the threads of other
 * tiers read and write in place. A pinned content keeps its place.
 */
export class MemoryTier implements BlockTier {
  readonly #bytesPerBlock: number;
  readonly #perChunk: number;
  readonly #chunks: SharedArrayBuffer[] = [];
  readonly #index: TierIndex<BlockKey>;
  /** Contents that are still arriving: they have a place and are not here yet. */
  readonly #arriving = new Set<BlockKey>();
  #loaded = 0;
  #stored = 0;
  #dropped = 0;

  /** @throws OctavoError `usage` when not even one block fits */
  constructor({ capacityBytes, bytesPerBlock }: MemoryTierOptions) {
    const capacity = Math.floor(capacityBytes / bytesPerBlock);
    if (capacity < 1) {
      throw new OctavoError(
        'usage',
        `--kv-host-memory ${capacityBytes}: holds no block of the KV cache; must be at least ${bytesPerBlock} bytes`,
        { param: '--kv-host-memory' },
      );
    }
    this.#bytesPerBlock = bytesPerBlock;
    this.#perChunk = Math.max(1, Math.min(capacity, Math.floor(CHUNK_BYTES / bytesPerBlock)));
    this.#index = new TierIndex(capacity);
  }

  get stats(): TierState {
    const bytes = this.#bytesPerBlock;
    const blocks = this.#index.size - this.#arriving.size;
    return {
      name: 'memory',
      isUp: true,
      isWritable: true,
      blocks,
      bytes: blocks * bytes,
      capacityBytes: this.#index.capacity * bytes,
      loaded: this.#loaded,
      stored: this.#stored,
      failed: 0,
      dropped: this.#dropped,
    };
  }

  /** Number of contents that are pinned, those that arrive included. */
  get numPinned(): number {
    return this.#index.numPinned;
  }

  get capacity(): number {
    return this.#index.capacity;
  }

  has(keys: readonly BlockKey[]): boolean[] {
    return keys.map((key) => this.holds(key));
  }

  /** Whether a content is here; one that is still arriving is not. */
  holds(key: BlockKey): boolean {
    return this.#index.has(key) && !this.#arriving.has(key);
  }

  isArriving(key: BlockKey): boolean {
    return this.#arriving.has(key);
  }

  load(keys: readonly BlockKey[], into: readonly Uint8Array[]): boolean[] {
    return keys.map((key, i) => {
      const content = this.read(key);
      if (content) into[i].set(content);
      return content !== null;
    });
  }

  store(keys: readonly BlockKey[], from: readonly Uint8Array[]): boolean[] {
    return keys.map((key, i) => this.holds(key) || this.write(key, (place) => place.set(from[i])));
  }

  /** A content's place, which stays as it is while the content is pinned; null: not here. */
  read(key: BlockKey): Uint8Array | null {
    if (!this.holds(key)) return null;
    this.#index.touch(key);
    this.#loaded += 1;
    return this.#bytesOf(key);
  }

  /** As `read`, but not counted as a use. */
  peek(key: BlockKey): Uint8Array | null {
    return this.holds(key) ? this.#bytesOf(key) : null;
  }

  /**
   * Takes a content in.
   *
   * @param fill writes the content's bytes
   * @returns false when all places are pinned, or the content is here or arriving
   */
  write(key: BlockKey, fill: (place: Uint8Array) => void): boolean {
    const place = this.expect(key);
    if (!place) return false;
    fill(place);
    this.arrive(key, true);
    return true;
  }

  /**
   * Counts a content as here; the caller writes its bytes before the next read of its place.
   *
   * @returns false when all places are pinned, or the content is here or arriving
   */
  reserve(key: BlockKey): boolean {
    return this.write(key, () => undefined);
  }

  /**
   * A place for a content that will arrive, pinned until `arrive`.
   *
   * @returns null when all places are pinned, or the content is here or arriving
   */
  expect(key: BlockKey): Uint8Array | null {
    if (this.#index.has(key)) return null;
    if (!this.#index.add(key)) {
      this.#dropped += 1;
      return null;
    }
    this.#arriving.add(key);
    this.#index.pin(key);
    return this.#bytesOf(key);
  }

  /** @param isWhole false: the content did not arrive, and its place is free again */
  arrive(key: BlockKey, isWhole: boolean): void {
    this.#arriving.delete(key);
    this.#index.unpin(key);
    if (isWhole) this.#stored += 1;
    else this.#index.remove(key);
  }

  /** Keeps a content that is here until as many calls of `unpin`. */
  pin(key: BlockKey): void {
    this.#index.pin(key);
  }

  unpin(key: BlockKey): void {
    this.#index.unpin(key);
  }

  /** Contents that are here, from the one that makes room last to the one that makes room first. */
  keys(): BlockKey[] {
    return [...this.#index.keys()].filter((key) => !this.#arriving.has(key));
  }

  /** Forgets all contents but pinned ones. */
  clear(): boolean {
    for (const key of this.keys()) if (!this.#index.isPinned(key)) this.#index.remove(key);
    return true;
  }

  close(): void {
    this.#chunks.length = 0;
  }

  #bytesOf(key: BlockKey): Uint8Array {
    const place = this.#index.placeOf(key) as number;
    const chunk = Math.floor(place / this.#perChunk);
    const buffer = (this.#chunks[chunk] ??= new SharedArrayBuffer(
      this.#perChunk * this.#bytesPerBlock,
    ));
    const start = (place % this.#perChunk) * this.#bytesPerBlock;
    return new Uint8Array(buffer, start, this.#bytesPerBlock);
  }
}
