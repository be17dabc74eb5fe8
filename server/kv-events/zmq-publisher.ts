import type * as Msgpack from '@msgpack/msgpack';
import type { Logger } from 'pino';
import type * as Zmq from 'zeromq';
import { OctavoError } from '../../engine/errors.js';
import type { CacheEvent } from '../../kvcache/cache-events.js';
import { encodeBatch } from './event-batch.js';
import { EventBuffer } from './event-buffer.js';

const INSTALL = 'npm install zeromq@6 @msgpack/msgpack@3';

/**
 * Batches that may wait for one slow reader; further ones are dropped for it, which it sees from
 * their numbers. vLLM's default.
 */
const HIGH_WATER_MARK = 100_000;

/** Bytes of batches that are kept for readers that missed them. */
const MAX_BUFFER_BYTES = 64 * 2 ** 20;

/** The number that ends the answer to a reader that missed batches: -1, as a signed integer. */
const END_OF_REPLAY = Buffer.alloc(8, 0xff);

export interface KvEventsOptions {
  /** Where events go. Binds `*`, `[::]`, `ipc://` and what begins with `@`; connects to others. */
  readonly endpoint: string;
  /** Where readers ask for batches that they missed; always bound. Null for nowhere. */
  readonly replayEndpoint: string | null;
  /** First frame of each message. */
  readonly topic: string;
  /** Number of batches that are kept for readers that missed them. */
  readonly bufferSteps: number;
  readonly logger: Logger;
  /** Seconds since 1970. */
  readonly seconds: () => number;
}

/** Where a process publishes its events, in the words of vLLM's `KVEventsConfig`. */
export interface KvEventSource {
  readonly enable_kv_cache_events: true;
  readonly publisher: 'zmq';
  readonly endpoint: string;
  readonly replay_endpoint: string | null;
  readonly buffer_steps: number;
  readonly hwm: number;
  readonly topic: string;
}

export interface KvEventPublisher {
  readonly source: KvEventSource;
  publish(events: readonly CacheEvent[]): void;
  close(): Promise<void>;
}

/**
 * Publishes changes of the prefix cache over ZeroMQ, as vLLM does: a PUB socket sends
 * `[topic, number (uint64, big endian), batch]`; a ROUTER socket answers `[empty, number]` with all
 * kept batches from that number on, as `[empty, topic, number, batch]`, and ends with number -1.
 *
 * A reader that is too slow, or comes too late, loses batches, sees the gap in the numbers, and
 * asks for them. Nothing waits for readers. The packages are loaded only here.
 *
 * @throws OctavoError `kv_events_unavailable` when the packages are not installed, or an address
 *   cannot be used
 */
export async function createZmqPublisher(options: KvEventsOptions): Promise<KvEventPublisher> {
  const { zmq, msgpack } = await load();
  const publisher = new zmq.Publisher({ sendHighWaterMark: HIGH_WATER_MARK, linger: 0 });
  // A reader may miss everything that is kept, and what its answer has no room for would be lost.
  const router = new zmq.Router({ sendHighWaterMark: options.bufferSteps + 1, linger: 0 });
  try {
    const { endpoint, replayEndpoint } = options;
    const address = await open(publisher, endpoint, '--kv-events-endpoint');
    const replayAddress =
      replayEndpoint === null
        ? null
        : await open(router, `@${replayEndpoint.replace(/^@/, '')}`, '--kv-events-replay-endpoint');
    const encoder = new msgpack.Encoder({ useBigInt64: true });
    const source = sourceOf(options, address, replayAddress);
    return new ZmqPublisher(options, source, publisher, router, encoder);
  } catch (error) {
    publisher.close();
    router.close();
    throw error;
  }
}

class ZmqPublisher implements KvEventPublisher {
  readonly source: KvEventSource;
  readonly #options: KvEventsOptions;
  readonly #publisher: Zmq.Publisher;
  readonly #router: Zmq.Router;
  readonly #encoder: Msgpack.Encoder;
  readonly #buffer: EventBuffer;
  /** Resolves when all batches so far are with ZeroMQ. */
  #sent: Promise<void> = Promise.resolve();
  readonly #replays: Promise<void>;
  #closed = false;

  constructor(
    options: KvEventsOptions,
    source: KvEventSource,
    publisher: Zmq.Publisher,
    router: Zmq.Router,
    encoder: Msgpack.Encoder,
  ) {
    this.source = source;
    this.#options = options;
    this.#publisher = publisher;
    this.#router = router;
    this.#encoder = encoder;
    this.#buffer = new EventBuffer(options.bufferSteps, MAX_BUFFER_BYTES);
    this.#replays = source.replay_endpoint === null ? Promise.resolve() : this.#answerReplays();
  }

  publish(events: readonly CacheEvent[]): void {
    if (this.#closed) return;
    const { topic, seconds } = this.#options;
    const payload = encodeBatch(events, seconds(), this.#encoder);
    const seq = this.#buffer.add(payload);
    // A socket takes one message at a time. It never waits for readers, so this does not queue up.
    this.#sent = this.#sent
      .then(() => this.#publisher.send([topic, numberFrame(seq), payload]))
      .catch((error: unknown) => this.#complain('a batch of KV events is lost', error));
  }

  async close(): Promise<void> {
    this.#closed = true;
    await this.#sent;
    this.#publisher.close();
    this.#router.close();
    await this.#replays;
  }

  async #answerReplays(): Promise<void> {
    try {
      for await (const frames of this.#router) await this.#answer(frames);
    } catch (error) {
      this.#complain('replays of KV events have ended', error);
    }
  }

  async #answer(frames: readonly Buffer[]): Promise<void> {
    const [reader, empty, start] = frames;
    if (frames.length !== 3 || empty.length !== 0 || start.length !== 8) {
      this.#options.logger.debug('a request for KV events has not the form [empty, uint64]');
      return;
    }
    // Larger numbers are not exact, but there never are that many batches.
    const from = Number(start.readBigUInt64BE());
    const { topic } = this.#options;
    for (const { seq, payload } of this.#buffer.from(from)) {
      await this.#router.send([reader, '', topic, numberFrame(seq), payload]);
    }
    await this.#router.send([reader, '', '', END_OF_REPLAY, '']);
  }

  /** Closing a socket ends what waits for it, with an error. */
  #complain(what: string, error: unknown): void {
    if (!this.#closed) this.#options.logger.warn({ err: error }, what);
  }
}

function numberFrame(seq: number): Buffer {
  const frame = Buffer.alloc(8);
  frame.writeBigUInt64BE(BigInt(seq));
  return frame;
}

/** @returns the address with the port that it was given, for readers */
async function open(socket: Zmq.Socket, endpoint: string, flag: string): Promise<string> {
  const address = endpoint.replace(/^@/, '');
  const binds = address !== endpoint || /^ipc:|\*|::/.test(address);
  try {
    if (!binds) {
      socket.connect(address);
      return address;
    }
    await socket.bind(address);
    const port = /:(\d+)$/.exec(socket.lastEndpoint ?? '')?.[1];
    return port === undefined ? address : address.replace(/:(\*|\d+)$/, `:${port}`);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    const what = `${flag} ${endpoint}: cannot be ${binds ? 'bound' : 'connected to'}: ${reason}`;
    throw new OctavoError('kv_events_unavailable', what, { param: flag, cause: error });
  }
}

function sourceOf(
  { bufferSteps, topic }: KvEventsOptions,
  endpoint: string,
  replayEndpoint: string | null,
): KvEventSource {
  return {
    enable_kv_cache_events: true,
    publisher: 'zmq',
    endpoint,
    replay_endpoint: replayEndpoint,
    buffer_steps: bufferSteps,
    hwm: HIGH_WATER_MARK,
    topic,
  };
}

async function load(): Promise<{ zmq: typeof Zmq; msgpack: typeof Msgpack }> {
  try {
    const [zmq, msgpack] = await Promise.all([import('zeromq'), import('@msgpack/msgpack')]);
    return { zmq, msgpack };
  } catch (error) {
    throw new OctavoError(
      'kv_events_unavailable',
      `--kv-events-endpoint: the packages for it cannot be loaded; install them: ${INSTALL}`,
      { param: '--kv-events-endpoint', cause: error },
    );
  }
}
