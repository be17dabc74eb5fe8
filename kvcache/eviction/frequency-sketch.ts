import type { BlockHash } from '../ids.js';

const ROWS = 4;
const MOST = 15;
const BASE64 = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/';
/** By character code: the six bits that a base64 character stands for. */
const SIXES = new Uint8Array(128);
for (let value = 0; value < BASE64.length; value++) SIXES[BASE64.charCodeAt(value)] = value;

/**
 * A uniform number of 30 bits from the five characters of a hash that begin at `start`: hashes are
 * random already.
 */
export function hashBits(hash: BlockHash, start: number): number {
  let bits = 0;
  for (let i = start; i < start + 5; i++) bits = bits * 64 + SIXES[hash.charCodeAt(i) & 127];
  return bits;
}

/**
 * How often each content was used of late, in a memory that does not grow with the number of
 * contents: a count-min sketch (Cormode and Muthukrishnan 2005) whose counts are halved now and
 * then, as TinyLFU has it (Einziger et al. 2017). It knows contents that were given up long ago,
 * too. Counts are never too small, but for the halving.
 */
export class FrequencySketch {
  readonly #counts: Uint8Array;
  readonly #width: number;
  readonly #period: number;
  #added = 0;

  /** @param capacity contents that a cache holds, about */
  constructor(capacity: number) {
    this.#width = 8 * capacity;
    this.#counts = new Uint8Array(ROWS * this.#width);
    this.#period = 16 * capacity;
  }

  /** Counts one use more. @returns uses of late, this one included: 1 to 15 */
  add(hash: BlockHash): number {
    if (++this.#added === this.#period) this.#halve();
    const before = this.count(hash);
    if (before === MOST) return MOST;
    for (let row = 0; row < ROWS; row++) {
      const place = this.#place(hash, row);
      // The larger ones count other contents, too.
      if (this.#counts[place] === before) this.#counts[place] = before + 1;
    }
    return before + 1;
  }

  count(hash: BlockHash): number {
    let least = MOST;
    for (let row = 0; row < ROWS; row++) {
      least = Math.min(least, this.#counts[this.#place(hash, row)]);
    }
    return least;
  }

  #place(hash: BlockHash, row: number): number {
    return row * this.#width + (hashBits(hash, 5 * row) % this.#width);
  }

  #halve(): void {
    this.#added = 0;
    for (let i = 0; i < this.#counts.length; i++) this.#counts[i] >>= 1;
  }
}
