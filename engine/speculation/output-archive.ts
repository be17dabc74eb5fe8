import type { TokenId } from '../../scheduler/ids.js';
import { TokenText } from './token-text.js';

/** Maximum number of tokens of one key; the output that would exceed it replaces all of them. */
const MOST_OF_ONE = 65_536;

/** Outputs of sequences that have ended, one text for each key, within a number of tokens. */
export class OutputArchive {
  readonly #least: number;
  readonly #capacity: number;
  /** The least recently used first. */
  readonly #texts = new Map<string, TokenText>();
  #length = 0;

  /**
   * @param least see `TokenText`
   * @param capacity in tokens
   */
  constructor(least: number, capacity: number) {
    this.#least = least;
    this.#capacity = capacity;
  }

  /** Number of tokens kept. */
  get length(): number {
    return this.#length;
  }

  textOf(key: string): TokenText | null {
    return this.#texts.get(key) ?? null;
  }

  add(key: string, output: readonly TokenId[]): void {
    if (output.length === 0 || output.length > this.#capacity) return;
    const before = this.#texts.get(key);
    const fits = before && before.length + output.length <= MOST_OF_ONE;
    const text = fits ? before : new TokenText(this.#least);
    if (before && !fits) this.#length -= before.length;
    text.append(output);
    this.#length += output.length;
    this.#texts.delete(key);
    this.#texts.set(key, text);
    this.#evict();
  }

  #evict(): void {
    for (const [key, text] of this.#texts) {
      if (this.#length <= this.#capacity) return;
      this.#texts.delete(key);
      this.#length -= text.length;
    }
  }
}
