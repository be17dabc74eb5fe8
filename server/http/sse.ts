import type { OutgoingHttpHeaders } from 'node:http';
import type { FastifyReply } from 'fastify';
import type { OutputMeter } from '../../engine/client/engine-port.js';
import type { Clock, Timer } from '../../engine/clock.js';
import { PROBE } from './connections.js';

const PING_AFTER_MS = 15_000;

/** What a client that reads at all needs to take the last event. */
const LAST_WORDS_MS = 5000;

/** Of a stream that belongs to a request. */
export interface SseOwner {
  /** Who waits for a slow reader waits no longer when it is aborted. */
  readonly controller: AbortController;
  /** Told of what the socket has not taken yet. */
  readonly output: OutputMeter;
}

/**
 * A stream of server-sent events. Takes the reply over from Fastify: nothing else may write to it afterwards.
 */
export class SseStream {
  readonly #raw: FastifyReply['raw'];
  readonly #clock: Clock;
  readonly #owner: SseOwner | null;
  readonly #pingTimer: Timer;

  constructor(reply: FastifyReply, clock: Clock, owner?: SseOwner) {
    this.#raw = reply.raw;
    this.#clock = clock;
    this.#owner = owner ?? null;
    reply.hijack();
    this.#raw.writeHead(200, {
      ...(reply.getHeaders() as OutgoingHttpHeaders),
      'content-type': 'text/event-stream; charset=utf-8',
      'cache-control': 'no-cache',
      // Proxies of the nginx kind collect a response unless they are told not to.
      'x-accel-buffering': 'no',
    });
    this.#raw.flushHeaders();
    this.#pingTimer = clock.startTimer(() => this.#ping(), PING_AFTER_MS);
    this.#raw.on(PROBE, () => this.#ping());
    this.#raw.once('close', () => this.#pingTimer.cancel());
  }

  /**
   * Sends one event.
   *
   * @param name for clients that tell events apart by the `event` line
   * @returns once the socket takes more: a caller that waits for it never piles up memory for a slow reader. Returns at
   * once when the client is gone.
   */
  async send(data: object, name?: string): Promise<void> {
    if (this.#closed) return;
    this.#pingTimer.restart();
    const head = name === undefined ? '' : `event: ${name}\n`;
    if (!this.#raw.write(`${head}data: ${JSON.stringify(data)}\n\n`)) await this.#drained();
  }

  /** As `send`, for data that is JSON already, in one line: a stream's chunks differ in a few places only. */
  async sendJson(json: string): Promise<void> {
    if (this.#closed) return;
    this.#pingTimer.restart();
    if (!this.#raw.write(`data: ${json}\n\n`)) await this.#drained();
  }

  /** Ends the stream, with the marker that says it is complete. */
  done(): void {
    this.#pingTimer.cancel();
    if (!this.#closed) this.#raw.end('data: [DONE]\n\n');
  }

  /** Ends a stream whose last event says that it is the last. */
  end(): void {
    this.#pingTimer.cancel();
    if (!this.#closed) this.#raw.end();
  }

  /** Ends the stream after an error: one event, and no marker. */
  fail(errorBody: object): void {
    this.#pingTimer.cancel();
    if (this.#closed) return;
    this.#raw.end(`data: ${JSON.stringify(errorBody)}\n\n`);
    // It may be that nobody reads, which would hold the connection for ever.
    const timer = this.#clock.startTimer(() => this.#raw.destroy(), LAST_WORDS_MS);
    this.#raw.once('close', () => timer.cancel());
  }

  get #closed(): boolean {
    return this.#raw.destroyed || this.#raw.writableEnded;
  }

  /** Keeps proxies from closing a silent connection. A full socket is not silent, only slow. */
  #ping(): void {
    if (this.#closed) return;
    if (!this.#raw.writableNeedDrain) this.#raw.write(': ping\n\n');
    this.#pingTimer.restart();
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
