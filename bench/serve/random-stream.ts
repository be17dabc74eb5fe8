import { uniform } from '../../engine/sampling/random.js';

/**
 * What random numbers are for. Streams are independent: another prompt length does not move the
 * arrivals.
 */
export const STREAMS = { arrivals: 0, lengths: 1, prompt: 2, prefix: 3 } as const;

/**
 * A stream of random numbers, given by the run's seed, its use and an index (of a conversation,
 * mostly).
 */
export class RandomStream {
  readonly #seed: number;
  #counter = 0;

  constructor(seed: number, stream: keyof typeof STREAMS, index: number) {
    this.#seed = Math.floor(uniform(seed, index * 4 + STREAMS[stream]) * 2 ** 32);
  }

  /** In [0, 1). */
  next(): number {
    return uniform(this.#seed, this.#counter++);
  }

  /** An integer from `low` up to, not including, `high`. */
  integer(low: number, high: number): number {
    return low + Math.floor(this.next() * (high - low));
  }

  /** Standard normal (Box and Muller 1958). */
  normal(): number {
    const radius = Math.sqrt(-2 * Math.log(1 - this.next()));
    return radius * Math.cos(2 * Math.PI * this.next());
  }

  /** Exponential with mean 1. */
  exponential(): number {
    return -Math.log(1 - this.next());
  }
}
