import type { BlockKey } from './block-tier.js';

/** Contents that are remembered: those that were asked for last. */
const MOST = 65_536;

/**
 * Which contents are asked for again: those are worth the memory of a server that others share. A
 * content counts as reused when a sequence has found it in the pages, or when a second one has
 * asked for it and not found it there.
 */
export class Reuse {
  /** Asks of each content, the last asked last. */
  readonly #asks = new Map<BlockKey, number>();

  /** A sequence has asked for a content that is not in the pages. */
  asked(key: BlockKey): void {
    this.#set(key, (this.#asks.get(key) ?? 0) + 1);
  }

  /** A sequence has found a content in the pages. */
  hit(key: BlockKey): void {
    this.#set(key, 2);
  }

  isReused(key: BlockKey): boolean {
    return (this.#asks.get(key) ?? 0) >= 2;
  }

  #set(key: BlockKey, asks: number): void {
    this.#asks.delete(key);
    this.#asks.set(key, asks);
    if (this.#asks.size <= MOST) return;
    const [oldest] = this.#asks.keys();
    this.#asks.delete(oldest);
  }
}
