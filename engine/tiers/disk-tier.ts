import { type FileHandle, mkdir, open, rename, rm, unlink, utimes } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { TierIndex } from '../../kvcache/tier-index.js';
import type { TierState } from '../protocol/reports.js';
import type { BlockKey, BlockTier } from './block-tier.js';
import { Breaker } from './breaker.js';
import { type FoundFile, scanDirectory } from './disk-scan.js';
import { fileName } from './file-name.js';
import { HEAD_BYTES, isWhole, recordHead } from './tier-record.js';

export interface DiskTierOptions {
  /** Exists, and can be written. */
  readonly directory: string;
  /** Bytes of all files in the directory, those of other models included. */
  readonly capacityBytes: number;
  readonly bytesPerBlock: number;
  /** Identifies model, formats and layout. */
  readonly namespace: string;
  /** Monotonic, milliseconds. */
  readonly now: () => number;
  readonly log: (line: string) => void;
}

/** Files that are read or written at the same time: as many as libuv has threads for it. */
const AT_ONCE = 4;

/**
 * Contents in files, one each, named by their hash:
 *
 *     <directory>/<namespace>/<2 digits>/<hash>.<group>    mode 0600
 *
 * A file is written under another name and then renamed, so that a reader sees it whole or not at
 * all; what a crash leaves behind is found out by its digest (`tier-record.ts`). The time of a
 * file's last use is its modification time, by which a later process knows what to give up first.
 * Several processes may use one directory: each counts only the files that it knows of, and one
 * that another has removed is a miss.
 */
export class DiskTier implements BlockTier {
  readonly #options: DiskTierOptions;
  readonly #root: string;
  readonly #fileBytes: number;
  readonly #index: TierIndex<BlockKey>;
  readonly #breaker: Breaker;
  /** Files of other models, the oldest last. They make room first. */
  readonly #foreign: FoundFile[];
  #foreignBytes: number;
  readonly #writing = new Map<BlockKey, Promise<boolean>>();
  readonly #directories = new Map<string, Promise<unknown>>();
  readonly #slots = new Slots(AT_ONCE);
  #files = 0;
  readonly #counts = { loaded: 0, stored: 0, failed: 0, dropped: 0 };

  private constructor(options: DiskTierOptions, root: string, foreign: readonly FoundFile[]) {
    this.#options = options;
    this.#root = root;
    this.#fileBytes = HEAD_BYTES + options.bytesPerBlock;
    this.#index = new TierIndex(Math.floor(options.capacityBytes / this.#fileBytes));
    this.#foreign = [...foreign];
    this.#foreignBytes = foreign.reduce((sum, { bytes }) => sum + bytes, 0);
    const { now, log, directory } = options;
    const name = `--kv-cache-dir ${directory}`;
    this.#breaker = new Breaker({ failures: 3, coolMs: 30_000, now, log, name });
  }

  /** Finds what earlier processes have left. */
  static async open(options: DiskTierOptions): Promise<DiskTier> {
    const root = join(options.directory, options.namespace);
    const fileBytes = HEAD_BYTES + options.bytesPerBlock;
    const { own, foreign } = await scanDirectory(options.directory, options.namespace, fileBytes);
    const tier = new DiskTier(options, root, foreign);
    // The oldest first, so that the index gives them up first.
    for (const { key } of own.toReversed()) {
      const taken = tier.#index.add(key);
      await tier.#makeRoom(taken?.evicted ?? null);
    }
    return tier;
  }

  get stats(): TierState {
    const blocks = this.#index.size - this.#writing.size;
    return {
      name: 'disk',
      isUp: !this.#breaker.isOpen,
      isWritable: !this.#breaker.isOpen,
      blocks,
      bytes: this.#index.size * this.#fileBytes,
      capacityBytes: this.#index.capacity * this.#fileBytes,
      ...this.#counts,
    };
  }

  has(keys: readonly BlockKey[]): boolean[] {
    if (this.#breaker.isOpen) return keys.map(() => false);
    return keys.map((key) => this.#index.has(key) && !this.#writing.has(key));
  }

  async load(keys: readonly BlockKey[], into: readonly Uint8Array[]): Promise<boolean[]> {
    return Promise.all(keys.map((key, i) => this.#slots.run(() => this.#loadOne(key, into[i]))));
  }

  async store(keys: readonly BlockKey[], from: readonly Uint8Array[]): Promise<boolean[]> {
    return Promise.all(keys.map(async (key, i) => this.#storeOne(key, from[i])));
  }

  async clear(): Promise<boolean> {
    await Promise.all(this.#writing.values());
    for (const key of Array.from(this.#index.keys())) this.#index.remove(key);
    this.#directories.clear();
    try {
      await rm(this.#root, { recursive: true, force: true });
      return true;
    } catch (error) {
      this.#options.log(`${this.#root}: cannot be removed: ${(error as Error).message}`);
      return false;
    }
  }

  /** Waits for what is being written; the files stay. */
  async close(): Promise<void> {
    await Promise.all(this.#writing.values());
  }

  /** Everything that other calls must see at once happens before the first `await`. */
  #storeOne(key: BlockKey, content: Uint8Array): Promise<boolean> | boolean {
    const writing = this.#writing.get(key);
    if (writing || this.#index.has(key)) return writing ?? true;
    const isFull = this.#index.numPinned >= this.#index.capacity;
    const taken = isFull || !this.#breaker.allows() ? null : this.#index.add(key);
    if (!taken) {
      this.#counts.dropped += 1;
      return false;
    }
    this.#index.pin(key);
    const written = this.#slots.run(async () => {
      await this.#makeRoom(taken.evicted);
      return this.#writeOne(key, content);
    });
    this.#writing.set(key, written);
    return written;
  }

  async #loadOne(key: BlockKey, into: Uint8Array): Promise<boolean> {
    if (!this.#index.has(key) || this.#writing.has(key)) return false;
    const path = this.#pathOf(key);
    const head = Buffer.alloc(HEAD_BYTES);
    let file: FileHandle | null = null;
    try {
      file = await open(path, 'r');
      const { bytesRead } = await file.readv([head, into]);
      if (bytesRead === this.#fileBytes && isWhole(this.#options.namespace, key, head, into)) {
        this.#index.touch(key);
        this.#counts.loaded += 1;
        const now = new Date();
        // Without the new time, it is given up sooner by a later process: no more.
        utimes(path, now, now).catch(() => undefined);
        return true;
      }
    } catch {
      // Another process has removed it, or the disk is failing: a miss, as all that follows.
    } finally {
      await file?.close().catch(() => undefined);
    }
    this.#counts.failed += 1;
    // Unless it is being written again.
    if (this.#writing.has(key)) return false;
    this.#index.remove(key);
    await unlink(path).catch(() => undefined);
    return false;
  }

  async #writeOne(key: BlockKey, content: Uint8Array): Promise<boolean> {
    const path = this.#pathOf(key);
    const partial = join(this.#root, `.${process.pid}-${this.#files++}.part`);
    try {
      await this.#makeDirectory(dirname(path));
      const file = await open(partial, 'wx', 0o600);
      try {
        await file.writev([recordHead(this.#options.namespace, key, content), content]);
      } finally {
        await file.close();
      }
      await rename(partial, path);
      this.#breaker.succeeded();
      this.#counts.stored += 1;
      this.#index.unpin(key);
      return true;
    } catch (error) {
      this.#breaker.failed((error as Error).message);
      this.#directories.clear();
      this.#counts.dropped += 1;
      this.#index.remove(key);
      await unlink(partial).catch(() => undefined);
      return false;
    } finally {
      this.#writing.delete(key);
    }
  }

  async #makeRoom(evicted: BlockKey | null): Promise<void> {
    if (evicted !== null) await unlink(this.#pathOf(evicted)).catch(() => undefined);
    await this.#removeForeign();
  }

  async #removeForeign(): Promise<void> {
    const { capacityBytes } = this.#options;
    while (this.#index.size * this.#fileBytes + this.#foreignBytes > capacityBytes) {
      const oldest = this.#foreign.pop();
      if (!oldest) return;
      this.#foreignBytes -= oldest.bytes;
      await unlink(oldest.path).catch(() => undefined);
    }
  }

  #makeDirectory(path: string): Promise<unknown> {
    const known = this.#directories.get(path);
    if (known) return known;
    const made = mkdir(path, { recursive: true, mode: 0o700 });
    this.#directories.set(path, made);
    return made;
  }

  #pathOf(key: BlockKey): string {
    const name = fileName(key);
    return join(this.#root, name.slice(0, 2), name);
  }
}

/** Lets so many tasks run at the same time. */
class Slots {
  #free: number;
  readonly #waiting: (() => void)[] = [];

  constructor(count: number) {
    this.#free = count;
  }

  async run<T>(task: () => Promise<T>): Promise<T> {
    if (this.#free > 0) this.#free -= 1;
    else await new Promise<void>((resolve) => this.#waiting.push(resolve));
    try {
      return await task();
    } finally {
      const next = this.#waiting.shift();
      if (next) next();
      else this.#free += 1;
    }
  }
}
