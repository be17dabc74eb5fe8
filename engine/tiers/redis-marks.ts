import type { BlockHash } from '../../kvcache/ids.js';
import type { Mark, SharedMarks } from './block-tier.js';
import type { Breaker } from './breaker.js';
import type { RedisClient } from './redis-connection.js';

/** Bits of a bitmap: 1 MiB. */
const BITS = 2 ** 23;

/** A mark lasts so long at least, and twice as long at most. */
const PERIOD_MS = 1_800_000;

/** Bytes of a content's hash that give the place of each mark. */
const PLACE: Readonly<Record<Mark, number>> = { asked: 0, generated: 4 };

export interface RedisMarksOptions {
  readonly redis: RedisClient;
  /** Begins the keys. */
  readonly root: string;
  /** Milliseconds since 1970: servers on several machines share it. */
  readonly wallClock: () => number;
  /** Of nothing else: a server that takes no marks may still be read. */
  readonly breaker: Breaker;
}

/**
 * Marks of contents in two bitmaps that servers share, of this half hour and of the one before:
 *
 *     <root>marks:<number of the half hour>    a bit for each mark of a content
 *
 * All contents of a call are one command, whose time is that of a few hundred bits. Two contents
 * may share a bit, which then lets one be kept that only one sequence has asked for: no more. At
 * 1,000 contents a second, that is one in six.
 */
export class RedisMarks implements SharedMarks {
  readonly #options: RedisMarksOptions;

  constructor(options: RedisMarksOptions) {
    this.#options = options;
  }

  async mark(mark: Mark, hashes: readonly BlockHash[]): Promise<readonly boolean[]> {
    const { redis } = this.#options;
    const places = hashes.map((hash) => placeOf(mark, hash));
    return this.#guarded(hashes.length, async (now, before) => {
      const sets = places.flatMap((place) => ['SET', 'u1', place, 1]);
      const [old, older] = await Promise.all([
        redis.call('BITFIELD', now, ...sets),
        redis.call('BITFIELD', before, ...readAll(places)),
        redis.expire(now, (2 * PERIOD_MS) / 1000),
      ]);
      return either(old, older);
    });
  }

  async marked(mark: Mark, hashes: readonly BlockHash[]): Promise<readonly boolean[]> {
    const { redis } = this.#options;
    const reads = readAll(hashes.map((hash) => placeOf(mark, hash)));
    return this.#guarded(hashes.length, async (now, before) => {
      const [bits, older] = await Promise.all([
        redis.call('BITFIELD', now, ...reads),
        redis.call('BITFIELD', before, ...reads),
      ]);
      return either(bits, older);
    });
  }

  /** Forgets all marks. @throws Error of Redis */
  async clear(): Promise<void> {
    const { redis } = this.#options;
    const [now, before] = this.#bitmaps;
    await Promise.all([redis.unlink(now), redis.unlink(before)]);
  }

  get #bitmaps(): readonly [now: string, before: string] {
    const { root, wallClock } = this.#options;
    const period = Math.floor(wallClock() / PERIOD_MS);
    return [`${root}marks:${period}`, `${root}marks:${period - 1}`];
  }

  /** @param command is given the keys of the two bitmaps */
  async #guarded(
    count: number,
    command: (now: string, before: string) => Promise<boolean[]>,
  ): Promise<readonly boolean[]> {
    const { breaker } = this.#options;
    const none = Array.from({ length: count }, () => false);
    if (count === 0 || !breaker.allows()) return none;
    try {
      const answers = await command(...this.#bitmaps);
      breaker.succeeded();
      return answers;
    } catch (error) {
      breaker.failed((error as Error).message);
      return none;
    }
  }
}

function placeOf(mark: Mark, hash: BlockHash): number {
  return Buffer.from(hash, 'base64').readUInt32BE(PLACE[mark]) % BITS;
}

const readAll = (places: readonly number[]): (string | number)[] =>
  places.flatMap((place) => ['GET', 'u1', place]);

/** Of two answers of Redis: which places have a bit in one of them. */
function either(a: unknown, b: unknown): boolean[] {
  const [first, second] = [a, b] as [number[], number[]];
  return first.map((bit, i) => bit === 1 || second[i] === 1);
}
