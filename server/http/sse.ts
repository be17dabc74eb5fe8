import type { FastifyReply } from 'fastify';
import type { Clock, Timer } from '../../engine/clock.js';
import { PROBE } from './connections.js';
import { ReplyStream, type StreamOwner } from './reply-stream.js';

const PING_AFTER_MS = 15_000;

/** @param name for clients that tell events apart by the `event` line; absent for none */
export function eventOf(data: object, name?: string): string {
  const head = name === undefined ? '' : `event: ${name}\n`;
  return `${head}data: ${JSON.stringify(data)}\n\n`;
}

/** A stream of server-sent events, in the place of the reply. */
export class SseStream {
  readonly #stream: ReplyStream;
  readonly #pingText: string;
  readonly #pingTimer: Timer;

  /** @param ping what is sent when nothing else was for a while; a comment unless it is given */
  constructor(reply: FastifyReply, clock: Clock, owner?: StreamOwner, ping = ': ping\n\n') {
    this.#stream = new ReplyStream(reply, clock, owner ?? null, 'text/event-stream; charset=utf-8');
    this.#pingText = ping;
    this.#pingTimer = clock.startTimer(() => this.#ping(), PING_AFTER_MS);
    reply.raw.on(PROBE, () => this.#ping());
    reply.raw.once('close', () => this.#pingTimer.cancel());
  }

  /**
   * Sends one event.
   *
   * @param name for clients that tell events apart by the `event` line
   * @returns as `ReplyStream.write`
   */
  send(data: object, name?: string): Promise<void> {
    return this.#send(eventOf(data, name));
  }

  /**
   * As `send`, for data that is JSON already, in one line: a stream's chunks differ in a few places
   * only.
   */
  sendJson(json: string): Promise<void> {
    return this.#send(`data: ${json}\n\n`);
  }

  /** Ends the stream with the marker of a complete one. */
  done(): void {
    this.#pingTimer.cancel();
    this.#stream.end('data: [DONE]\n\n');
  }

  /** Ends a stream whose last event says that it is the last. */
  end(): void {
    this.#pingTimer.cancel();
    this.#stream.end();
  }

  /**
   * Ends the stream after an error: one event, and no marker.
   *
   * @param name as of `send`
   */
  fail(errorBody: object, name?: string): void {
    this.#pingTimer.cancel();
    this.#stream.fail(eventOf(errorBody, name));
  }

  async #send(text: string): Promise<void> {
    if (this.#stream.closed) return;
    this.#pingTimer.restart();
    await this.#stream.write(text);
  }

  /** Keeps proxies from closing a silent connection. A full socket is not silent, only slow. */
  #ping(): void {
    if (this.#stream.closed) return;
    if (!this.#stream.isFull) void this.#stream.write(this.#pingText);
    this.#pingTimer.restart();
  }
}
