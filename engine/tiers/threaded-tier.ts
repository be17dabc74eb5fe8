import { Worker } from 'node:worker_threads';
import { fromErrorRecord, OctavoError } from '../errors.js';
import type { TierState } from '../protocol/reports.js';
import type { BlockKey, BlockTier, SharedMarks } from './block-tier.js';
import type { FarTierOptions, TierCommand, TierReply } from './thread-messages.js';

/** What a call is without its number. */
type Call<C = TierCommand> = C extends TierCommand ? Omit<C, 'id'> : never;

interface Waiting {
  readonly numKeys: number;
  readonly resolve: (answers: readonly boolean[]) => void;
}

/**
 * A far tier that works in a thread of its own. Contents must be in shared memory: the thread reads
 * and writes them in place. When the thread has died, the tier has nothing and keeps nothing.
 */
export class ThreadedTier implements BlockTier {
  readonly #worker: Worker;
  readonly #log: (line: string) => void;
  readonly #waiting = new Map<number, Waiting>();
  #calls = 0;
  #stats: TierState;
  readonly marks?: SharedMarks;
  #hasEnded = false;
  #isClosing = false;

  private constructor(
    worker: Worker,
    { stats, hasMarks }: Extract<TierReply, { type: 'ready' }>,
    log: (line: string) => void,
  ) {
    this.#worker = worker;
    this.#stats = stats;
    if (hasMarks) {
      this.marks = {
        mark: (mark, hashes) => this.#call({ call: 'mark', mark, hashes }, hashes.length),
        marked: (mark, hashes) => this.#call({ call: 'marked', mark, hashes }, hashes.length),
      };
    }
    this.#log = log;
    worker.on('message', (reply: TierReply) => this.#receive(reply));
    worker.on('error', (error) => this.#end(error.message));
    worker.on('exit', () => this.#end('it exited'));
    // Must not keep a failed engine's thread alive.
    worker.unref();
  }

  /**
   * @param log receives lines that the operator should see
   * @throws OctavoError why the tier cannot be used
   */
  static async start(options: FarTierOptions, log: (line: string) => void): Promise<ThreadedTier> {
    const fromSources = import.meta.url.endsWith('.ts');
    const entry = fromSources ? './tier-thread-dev.mjs' : './tier-thread.js';
    const worker = new Worker(new URL(entry, import.meta.url), { workerData: options });
    const first = await new Promise<TierReply>((resolve, reject) => {
      const receive = (reply: TierReply): void => {
        if (reply.type === 'log') return log(reply.line);
        worker.off('message', receive).off('error', reject);
        resolve(reply);
      };
      worker.on('message', receive).once('error', reject);
    });
    if (first.type === 'failed') {
      await worker.terminate();
      throw fromErrorRecord(first.error);
    }
    if (first.type !== 'ready') throw new OctavoError('internal', 'a tier began with an answer');
    return new ThreadedTier(worker, first, log);
  }

  get stats(): TierState {
    return this.#hasEnded ? { ...this.#stats, isUp: false, isWritable: false } : this.#stats;
  }

  has(keys: readonly BlockKey[]): Promise<readonly boolean[]> {
    return this.#call({ call: 'has', keys }, keys.length);
  }

  load(keys: readonly BlockKey[], into: readonly Uint8Array[]): Promise<readonly boolean[]> {
    return this.#call({ call: 'load', keys, contents: into }, keys.length);
  }

  store(keys: readonly BlockKey[], from: readonly Uint8Array[]): Promise<readonly boolean[]> {
    return this.#call({ call: 'store', keys, contents: from }, keys.length);
  }

  async clear(): Promise<boolean> {
    const [isCleared] = await this.#call({ call: 'clear' }, 1);
    return isCleared;
  }

  async close(): Promise<void> {
    if (this.#isClosing) return;
    this.#isClosing = true;
    await this.#call({ call: 'close' }, 0);
    await this.#worker.terminate();
  }

  #call(call: Call, numKeys: number): Promise<readonly boolean[]> {
    if (this.#hasEnded) return Promise.resolve(none(numKeys));
    const id = ++this.#calls;
    return new Promise((resolve) => {
      this.#waiting.set(id, { numKeys, resolve });
      this.#worker.postMessage({ ...call, id });
    });
  }

  #receive(reply: TierReply): void {
    if (reply.type === 'log') this.#log(reply.line);
    if (reply.type !== 'answer') return;
    this.#stats = reply.stats;
    this.#waiting.get(reply.id)?.resolve(reply.answers);
    this.#waiting.delete(reply.id);
  }

  #end(reason: string): void {
    if (this.#hasEnded) return;
    this.#hasEnded = true;
    if (!this.#isClosing) {
      this.#log(
        `the thread of the ${this.#stats.name} tier has ended, it is not used any more: ${reason}`,
      );
    }
    for (const { numKeys, resolve } of this.#waiting.values()) resolve(none(numKeys));
    this.#waiting.clear();
  }
}

const none = (count: number): boolean[] => Array.from({ length: count }, () => false);
