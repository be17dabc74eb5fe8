import type { TokenConstraint } from '../../engine/sampling/token-constraint.js';
import type { TokenId } from '../../scheduler/ids.js';

/**
 * A small grammar: after token `t`, only tokens whose remainder by 3 is the next one may come. It
 * checks how it is used.
 */
export class CountingConstraint implements TokenConstraint {
  readonly accepted: number[] = [];
  disposals = 0;
  readonly #words: Int32Array;
  readonly #vocabSize: number;
  #masked = false;

  constructor(vocabSize: number) {
    this.#vocabSize = vocabSize;
    this.#words = new Int32Array(Math.ceil(vocabSize / 32));
  }

  mask(): Int32Array {
    if (this.disposals > 0) throw new Error('used after its end');
    this.#masked = true;
    this.#words.fill(0);
    for (let t = 0; t < this.#vocabSize; t++) {
      if (this.#allows(t)) this.#words[t >>> 5] |= 1 << (t & 31);
    }
    return this.#words;
  }

  forced(): readonly TokenId[] {
    return [];
  }

  accept(token: TokenId): void {
    if (!this.#masked) throw new Error('a token was chosen without a mask');
    if (!this.#allows(token)) throw new Error(`token ${token} was not allowed`);
    this.#masked = false;
    this.accepted.push(token);
  }

  rollback(count: number): void {
    if (count > this.accepted.length) throw new RangeError('more than was accepted');
    this.accepted.length -= count;
  }

  isReady(): boolean {
    return true;
  }

  whenReady(): Promise<void> {
    return Promise.resolve();
  }

  dispose(): void {
    this.disposals += 1;
  }

  #allows(token: number): boolean {
    return token % 3 === this.accepted.length % 3;
  }
}
