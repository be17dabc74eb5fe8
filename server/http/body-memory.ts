import { OctavoError } from '../../engine/errors.js';

/** A body that is being received. */
interface Incoming {
  bytes: number;
  readonly end: (error: OctavoError) => void;
}

/** Counts one body. */
export interface BodyAccount {
  /** More of it has come. */
  add(bytes: number): void;
  /** It is complete, or given up. Idempotent. */
  close(): void;
}

/**
 * Memory of bodies that are being received, over all connections. What counts is what has come, not
 * what was announced: a client that sends nothing takes nothing from others. When they are too much
 * together the largest ends, so that a client that sends a lot, slowly, over many connections does
 * not keep out a chat of a few kilobytes.
 */
export class BodyMemory {
  readonly #total: number;
  readonly #incoming = new Set<Incoming>();
  #used = 0;

  /** @param total bytes */
  constructor(total: number) {
    this.#total = total;
  }

  /** Bytes of all bodies. */
  get used(): number {
    return this.#used;
  }

  /**
   * @param end called at most once, with the error that the request is to be answered with: the
   * body is not received any further
   */
  open(end: (error: OctavoError) => void): BodyAccount {
    const body: Incoming = { bytes: 0, end };
    this.#incoming.add(body);
    return {
      add: (bytes) => {
        if (!this.#incoming.has(body)) return;
        body.bytes += bytes;
        this.#used += bytes;
        if (this.#used > this.#total) this.#endLargest();
      },
      close: () => this.#close(body),
    };
  }

  #close(body: Incoming): void {
    if (this.#incoming.delete(body)) this.#used -= body.bytes;
  }

  #endLargest(): void {
    const largest = [...this.#incoming].reduce((a, b) => (b.bytes > a.bytes ? b : a));
    this.#close(largest);
    const most = Math.floor(this.#total / 2 ** 20);
    largest.end(
      new OctavoError(
        'overloaded',
        `the server is overloaded: the bodies that it is receiving have more than ${most} MiB together, and this one has the most`,
      ),
    );
  }
}
