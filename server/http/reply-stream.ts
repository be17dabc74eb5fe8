import type { OutgoingHttpHeaders } from 'node:http';
import type { FastifyReply } from 'fastify';
import type { OutputMeter } from '../../engine/client/engine-port.js';
import type { Clock } from '../../engine/clock.js';

/** Milliseconds in which a client that reads at all receives the last text. */
const LAST_WORDS_MS = 5000;

/** The request that a stream belongs to. */
export interface StreamOwner {
  /** When it is aborted, waiting for a slow reader ends. */
  readonly controller: AbortController;
  /** Counts what the socket has not taken yet. */
  readonly output: OutputMeter;
}

/**
 * An answer of 200 that is written piece by piece. Takes over the reply from Fastify; no other code
 * may write to it afterwards.
 */
export class ReplyStream {
  readonly #raw: FastifyReply['raw'];
  readonly #clock: Clock;
  readonly #owner: StreamOwner | null;

  constructor(reply: FastifyReply, clock: Clock, owner: StreamOwner | null, contentType: string) {
    this.#raw = reply.raw;
    this.#clock = clock;
    this.#owner = owner;
    reply.hijack();
    this.#raw.writeHead(200, {
      ...(reply.getHeaders() as OutgoingHttpHeaders),
      'content-type': contentType,
      'cache-control': 'no-cache',
      // Proxies such as nginx buffer a response unless this header forbids it.
      'x-accel-buffering': 'no',
    });
    this.#raw.flushHeaders();
  }

  /** Whether it has ended, or its reader has left. */
  get closed(): boolean {
    return this.#raw.destroyed || this.#raw.writableEnded;
  }

  /** Whether the socket holds what its reader has not taken. */
  get isFull(): boolean {
    return this.#raw.writableNeedDrain;
  }

  /**
   * @returns once the socket takes more, so a caller that waits does not accumulate memory for a
   *   slow reader. Returns at once when the client is gone.
   */
  async write(text: string): Promise<void> {
    if (this.closed) return;
    if (!this.#raw.write(text)) await this.#drained();
  }

  /** @param text the last of it; absent for nothing more */
  end(text?: string): void {
    if (!this.closed) this.#raw.end(text);
  }

  /** Ends the stream after an error. */
  fail(text: string): void {
    if (this.closed) return;
    this.#raw.end(text);
    // If the client does not read, the connection would stay open forever.
    const timer = this.#clock.startTimer(() => this.#raw.destroy(), LAST_WORDS_MS);
    this.#raw.once('close', () => timer.cancel());
  }

  async #drained(): Promise<void> {
    const signal = this.#owner?.controller.signal;
    if (signal?.aborted) return;
    const waiting = this.#raw.writableLength;
    this.#owner?.output.add(waiting);
    await new Promise<void>((resolve) => {
      const settle = (): void => {
        this.#raw.off('drain', settle);
        this.#raw.off('close', settle);
        signal?.removeEventListener('abort', settle);
        resolve();
      };
      this.#raw.on('drain', settle);
      this.#raw.on('close', settle);
      signal?.addEventListener('abort', settle, { once: true });
    });
    this.#owner?.output.release(waiting);
  }
}
