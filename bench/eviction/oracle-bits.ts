import type { ReusePredictor } from '../../kvcache/eviction/predicted.js';
import type { BlockHash } from '../../kvcache/ids.js';
import type { SequenceBlocks } from '../../kvcache/sequence-blocks.js';
import type { RandomStream } from '../serve/random-stream.js';
import { nextUse } from './belady.js';
import type { Trace } from './trace.js';

/**
 * Bits that are right but for a share of them: a content comes back when the optimum would still
 * have it at its next use. Sequences are released in the order of their requests.
 */
export class OracleBits implements ReusePredictor {
  readonly #trace: Trace;
  readonly #uses: ReadonlyMap<BlockHash, readonly number[]>;
  readonly #hits: Int32Array;
  readonly #errorRate: number;
  readonly #random: RandomStream;
  #request = 0;

  /** @param hits blocks that the optimum hit, `[request]` */
  constructor(
    trace: Trace,
    uses: ReadonlyMap<BlockHash, readonly number[]>,
    hits: Int32Array,
    errorRate: number,
    random: RandomStream,
  ) {
    this.#trace = trace;
    this.#uses = uses;
    this.#hits = hits;
    this.#errorRate = errorRate;
    this.#random = random;
  }

  predict({ numCommitted }: SequenceBlocks): Uint8Array {
    const request = this.#request++;
    const { hashes } = this.#trace.requests[request];
    return Uint8Array.from({ length: numCommitted }, (_, index) => {
      const next = nextUse(this.#uses.get(hashes[index]) ?? [], request + 1);
      const isRight = this.#random.next() >= this.#errorRate;
      return Number((next < this.#hits.length && this.#hits[next] > index) === isRight);
    });
  }
}
