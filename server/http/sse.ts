import type { OutgoingHttpHeaders } from 'node:http';
import type { FastifyReply } from 'fastify';
import type { Clock, Timer } from '../clock.js';

const PING_AFTER_MS = 15_000;

/**
 * A stream of server-sent events. Takes the reply over from Fastify: nothing else may write to it afterwards.
 */
export class SseStream {
  readonly #raw: FastifyReply['raw'];
  readonly #pingTimer: Timer;

  constructor(reply: FastifyReply, clock: Clock) {
    this.#raw = reply.raw;
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
    if (!this.#closed) this.#raw.end(`data: ${JSON.stringify(errorBody)}\n\n`);
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
    await new Promise<void>((resolve) => {
      const settle = (): void => {
        this.#raw.off('drain', settle);
        this.#raw.off('close', settle);
        resolve();
      };
      this.#raw.on('drain', settle);
      this.#raw.on('close', settle);
    });
  }
}
