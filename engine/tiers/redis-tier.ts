import type { TierState } from '../protocol/reports.js';
import type { BlockKey, BlockTier } from './block-tier.js';
import { Breaker } from './breaker.js';
import { fileName } from './file-name.js';
import type { RedisClient } from './redis-connection.js';
import { RedisMarks } from './redis-marks.js';
import { HEAD_BYTES, isWhole, recordHead } from './tier-record.js';

export interface RedisTierOptions {
  /** The tier disconnects it. */
  readonly redis: RedisClient;
  /** Begins all keys. */
  readonly keyPrefix: string;
  /** Seconds after its last use that a content stays. */
  readonly ttlSeconds: number;
  /** Bytes of all contents of this model, whichever server has written them. */
  readonly capacityBytes: number;
  readonly bytesPerBlock: number;
  /** Identifies model, formats and layout. */
  readonly namespace: string;
  /** Monotonic, milliseconds. */
  readonly now: () => number;
  /** Milliseconds since 1970: servers on several machines share it. */
  readonly wallClock: () => number;
  readonly log: (line: string) => void;
}

/** Contents that are removed by one command, at most. */
const PIECE = 500;

/**
 * Contents in Redis or Valkey, which several servers share. Commands are pipelined, one for each
 * content, so that a cluster may spread them over its nodes:
 *
 *     <prefix>:<namespace>:<hash>.<group>   head and content; expires after its last use
 *     <prefix>:<namespace>:index            sorted set: contents by the time of their last use
 *
 * The index bounds the memory: a server that writes removes what was used longest ago. Reading and
 * writing have a circuit breaker each, so that a server that is full can still be read.
 */
export class RedisTier implements BlockTier {
  readonly #options: RedisTierOptions;
  readonly #recordBytes: number;
  readonly #capacity: number;
  readonly #root: string;
  readonly #reads: Breaker;
  readonly #writes: Breaker;
  readonly #pending = new Set<Promise<unknown>>();
  /** Why there is no connection, as far as that is known. */
  #disconnection: string | null = null;
  readonly marks: RedisMarks;
  /** As of the last time that it was asked. */
  #blocks = 0;
  readonly #counts = { loaded: 0, stored: 0, failed: 0, dropped: 0 };

  constructor(options: RedisTierOptions) {
    this.#options = options;
    this.#recordBytes = HEAD_BYTES + options.bytesPerBlock;
    this.#capacity = Math.floor(options.capacityBytes / this.#recordBytes);
    this.#root = `${options.keyPrefix}:${options.namespace}:`;
    const common = { failures: 3, coolMs: 5000, now: options.now, log: options.log };
    this.#reads = new Breaker({ ...common, name: '--kv-tier: reading from Redis' });
    this.#writes = new Breaker({ ...common, name: '--kv-tier: writing to Redis' });
    const { redis, wallClock } = options;
    redis.on('error', (error: Error) => {
      this.#disconnection = error.message;
    });
    redis.on('ready', () => {
      this.#disconnection = null;
    });
    const breaker = new Breaker({ ...common, name: '--kv-tier: marking in Redis' });
    this.marks = new RedisMarks({ redis, root: this.#root, wallClock, breaker });
  }

  get stats(): TierState {
    return {
      name: 'redis',
      isUp: !this.#reads.isOpen,
      isWritable: !this.#reads.isOpen && !this.#writes.isOpen,
      blocks: this.#blocks,
      bytes: this.#blocks * this.#recordBytes,
      capacityBytes: this.#capacity * this.#recordBytes,
      ...this.#counts,
    };
  }

  async has(keys: readonly BlockKey[]): Promise<boolean[]> {
    const { redis } = this.#options;
    const answers = await this.#guarded(this.#reads, keys, (key) => redis.exists(this.#keyOf(key)));
    return answers.map((answer) => answer === 1);
  }

  async load(keys: readonly BlockKey[], into: readonly Uint8Array[]): Promise<boolean[]> {
    const { redis, namespace } = this.#options;
    const records = await this.#guarded(this.#reads, keys, (key) =>
      redis.getBuffer(this.#keyOf(key)),
    );
    const loaded = keys.map((key, i) => {
      const record = records[i];
      if (!Buffer.isBuffer(record)) return false;
      const head = record.subarray(0, HEAD_BYTES);
      const content = record.subarray(HEAD_BYTES);
      const isSound = record.length === this.#recordBytes && isWhole(namespace, key, head, content);
      if (isSound) into[i].set(content);
      return isSound;
    });
    const sound = keys.filter((_, i) => loaded[i]);
    const damaged = keys.filter((_, i) => !loaded[i] && Buffer.isBuffer(records[i]));
    this.#counts.loaded += sound.length;
    this.#counts.failed += keys.length - sound.length;
    this.#inBackground(this.#touch(sound));
    this.#inBackground(this.#remove(damaged));
    return loaded;
  }

  async store(keys: readonly BlockKey[], from: readonly Uint8Array[]): Promise<boolean[]> {
    const stored = this.#store(keys, from);
    this.#inBackground(stored);
    return stored;
  }

  async clear(): Promise<boolean> {
    const { redis } = this.#options;
    try {
      const members = await redis.zrange(this.#indexKey, '0', '-1');
      for (let at = 0; at < members.length; at += PIECE) {
        const piece = members.slice(at, at + PIECE);
        await Promise.all(piece.map((member) => redis.unlink(this.#root + member)));
        await redis.zrem(this.#indexKey, ...piece);
      }
      await this.marks.clear();
      this.#blocks = 0;
      return true;
    } catch (error) {
      this.#writes.failed((error as Error).message);
      return false;
    }
  }

  /** Waits for what is being written; the contents stay. */
  async close(): Promise<void> {
    await Promise.all(this.#pending);
    this.#options.redis.disconnect();
  }

  async #store(keys: readonly BlockKey[], from: readonly Uint8Array[]): Promise<boolean[]> {
    const { redis, namespace, ttlSeconds } = this.#options;
    const contents = new Map(keys.map((key, i) => [key, from[i]]));
    // Another server may have written it: asking costs a thousandth of sending.
    const isThere = await this.has(keys);
    const there = keys.filter((_, i) => isThere[i]);
    const missing = keys.filter((_, i) => !isThere[i]);
    const answers = await this.#guarded(this.#writes, missing, (key) => {
      const content = contents.get(key) as Uint8Array;
      const record = Buffer.concat([recordHead(namespace, key, content), content]);
      return redis.set(this.#keyOf(key), record, 'EX', ttlSeconds);
    });
    const written = missing.filter((_, i) => answers[i] === 'OK');
    this.#counts.stored += written.length;
    this.#counts.dropped += missing.length - written.length;
    if (written.length > 0) await this.#bound(written).catch(() => undefined);
    await this.#touch(there).catch(() => undefined);
    const kept = new Set([...there, ...written]);
    return keys.map((key) => kept.has(key));
  }

  /** Notes what was written, and removes what is too much. */
  async #bound(written: readonly BlockKey[]): Promise<void> {
    const { redis, ttlSeconds, wallClock } = this.#options;
    const index = this.#indexKey;
    const now = wallClock();
    const scored = written.flatMap((key) => [now, fileName(key)]);
    const [, , , size] = await Promise.all([
      redis.zadd(index, ...scored),
      redis.expire(index, ttlSeconds),
      redis.zremrangebyscore(index, '-inf', now - ttlSeconds * 1000),
      redis.zcard(index),
    ]);
    this.#blocks = Math.min(size, this.#capacity);
    if (size <= this.#capacity) return;
    const popped = await redis.zpopmin(index, size - this.#capacity);
    const members = popped.filter((_, i) => i % 2 === 0);
    await Promise.all(members.map((member) => redis.unlink(this.#root + member)));
  }

  async #touch(keys: readonly BlockKey[]): Promise<void> {
    if (keys.length === 0) return;
    const { redis, ttlSeconds, wallClock } = this.#options;
    const now = wallClock();
    await Promise.all([
      ...keys.map((key) => redis.expire(this.#keyOf(key), ttlSeconds)),
      redis.zadd(this.#indexKey, 'XX', ...keys.flatMap((key) => [now, fileName(key)])),
      redis.expire(this.#indexKey, ttlSeconds),
    ]);
  }

  async #remove(keys: readonly BlockKey[]): Promise<void> {
    if (keys.length === 0) return;
    const { redis } = this.#options;
    await Promise.all(keys.map((key) => redis.unlink(this.#keyOf(key))));
    await redis.zrem(this.#indexKey, ...keys.map(fileName));
  }

  /** One command for each key, all on their way at once; null where one has failed. */
  async #guarded<T>(
    breaker: Breaker,
    keys: readonly BlockKey[],
    command: (key: BlockKey) => Promise<T>,
  ): Promise<(T | null)[]> {
    if (keys.length === 0) return [];
    if (!breaker.allows()) return keys.map(() => null);
    const results = await Promise.allSettled(keys.map(command));
    const failure = results.find((result) => result.status === 'rejected');
    if (failure) {
      // What fails says that there is no connection, but not why.
      breaker.failed(this.#disconnection ?? (failure.reason as Error).message);
    } else breaker.succeeded();
    return results.map((result) => (result.status === 'fulfilled' ? result.value : null));
  }

  #inBackground(work: Promise<unknown>): void {
    const settled = work.catch(() => undefined).finally(() => this.#pending.delete(settled));
    this.#pending.add(settled);
  }

  get #indexKey(): string {
    return `${this.#root}index`;
  }

  #keyOf(key: BlockKey): string {
    return this.#root + fileName(key);
  }
}
