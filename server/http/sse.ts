import type { OutgoingHttpHeaders } from 'node:http';
import type { FastifyReply } from 'fastify';
import type { OutputMeter } from '../../engine/client/engine-port.js';
import type { Clock, Timer } from '../../engine/clock.js';
import { PROBE } from './connections.js';

const PING_AFTER_MS = 15_000;

/** Milliseconds in which a client that reads at all receives the last event. */
const LAST_WORDS_MS = 5000;

/** @param name for clients that tell events apart by the `event` line; absent for none */
export function eventOf(data: object, name?: string): string {
  const head = name === undefined ? '' : `event: ${name}\n`;
  return `${head}data: ${JSON.stringify(data)}\n\n`;
}

/** The request that a stream belongs to. */
export interface SseOwner {
  /** When it is aborted, waiting for a slow reader ends. */
  readonly controller: AbortController;
  /** Counts what the socket has not taken yet. */
  readonly output: OutputMeter;
}

/**
 * A stream of server-sent events. Takes over the reply from Fastify; no other code may write to it
 * afterwards.
 */
export class SseStream {
  readonly #raw: FastifyReply['raw'];
  readonly #clock: Clock;
  readonly #owner: SseOwner | null;
  readonly #pingText: string;
  readonly #pingTimer: Timer;

  /** @param ping what is sent when nothing else was for a while; a comment unless it is given */
  constructor(reply: FastifyReply, clock: Clock, owner?: SseOwner, ping = ': ping\n\n') {
    this.#raw = reply.raw;
    this.#clock = clock;
    this.#owner = owner ?? null;
    this.#pingText = ping;
    reply.hijack();
    this.#raw.writeHead(200, {
      ...(reply.getHeaders() as OutgoingHttpHeaders),
      'content-type': 'text/event-stream; charset=utf-8',
      'cache-control': 'no-cache',
      // Proxies such as nginx buffer a response unless this header forbids it.
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
   * @returns once the socket takes more, so a caller that waits does not accumulate memory for a
   *   slow reader. Returns at once when the client is gone.
   */
  async send(data: object, name?: string): Promise<void> {
    if (this.#closed) return;
    this.#pingTimer.restart();
    if (!this.#raw.write(eventOf(data, name))) await this.#drained();
  }

  /**
   * As `send`, for data that is JSON already, in one line: a stream's chunks differ in a few places
   * only.
   */
  async sendJson(json: string): Promise<void> {
    if (this.#closed) return;
    this.#pingTimer.restart();
    if (!this.#raw.write(`data: ${json}\n\n`)) await this.#drained();
  }

  /** Ends the stream with the marker of a complete one. */
  done(): void {
    this.#pingTimer.cancel();
    if (!this.#closed) this.#raw.end('data: [DONE]\n\n');
  }

  /** Ends a stream whose last event says that it is the last. */
  end(): void {
    this.#pingTimer.cancel();
    if (!this.#closed) this.#raw.end();
  }

  /**
   * Ends the stream after an error: one event, and no marker.
   *
   * @param name as of `send`
   */
  fail(errorBody: object, name?: string): void {
    this.#pingTimer.cancel();
    if (this.#closed) return;
    this.#raw.end(eventOf(errorBody, name));
    // If the client does not read, the connection would stay open forever.
    const timer = this.#clock.startTimer(() => this.#raw.destroy(), LAST_WORDS_MS);
    this.#raw.once('close', () => timer.cancel());
  }

  get #closed(): boolean {
    return this.#raw.destroyed || this.#raw.writableEnded;
  }

  /** Keeps proxies from closing a silent connection. A full socket is not silent, only slow. */
  #ping(): void {
    if (this.#closed) return;
    if (!this.#raw.writableNeedDrain) this.#raw.write(this.#pingText);
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
