/** A published batch. */
export interface NumberedBatch {
  /** 0 for the first batch of the process, without gaps. */
  readonly seq: number;
  readonly payload: Uint8Array;
}

/**
 * The last batches that were published, for readers that missed some. When it is full, the oldest
 * batch makes room: a reader sees from the first number of its answer that more was lost.
 */
export class EventBuffer {
  readonly #maxBatches: number;
  readonly #maxBytes: number;
  /** Batch `seq` is at `seq % maxBatches`. */
  readonly #ring: Uint8Array[] = [];
  #first = 0;
  #next = 0;
  #bytes = 0;

  constructor(maxBatches: number, maxBytes: number) {
    this.#maxBatches = maxBatches;
    this.#maxBytes = maxBytes;
  }

  /** @returns the batch's number */
  add(payload: Uint8Array): number {
    const seq = this.#next;
    if (seq - this.#first === this.#maxBatches) this.#dropOldest();
    this.#ring[seq % this.#maxBatches] = payload;
    this.#next += 1;
    this.#bytes += payload.length;
    // The newest stays, however large it is.
    while (this.#bytes > this.#maxBytes && this.#first < seq) this.#dropOldest();
    return seq;
  }

  /** Those from number `start` on that are still there, at the time of the call. */
  from(start: number): NumberedBatch[] {
    const batches: NumberedBatch[] = [];
    for (let seq = Math.max(start, this.#first); seq < this.#next; seq++) {
      batches.push({ seq, payload: this.#ring[seq % this.#maxBatches] });
    }
    return batches;
  }

  #dropOldest(): void {
    const at = this.#first % this.#maxBatches;
    this.#bytes -= this.#ring[at].length;
    this.#ring[at] = new Uint8Array();
    this.#first += 1;
  }
}
