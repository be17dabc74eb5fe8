import type { KvCacheManager } from '../kvcache/kv-cache-manager.js';
import type { SequenceBlocks } from '../kvcache/sequence-blocks.js';
import type { SequenceId } from './ids.js';
import { PausedSequences } from './paused-sequences.js';
import { compareRank } from './policies/rank.js';
import type { SchedulingPolicy } from './policies/scheduling-policy.js';
import type { PrefixTiers } from './prefix-tiers.js';
import { type RequestSpec, Sequence, type SequenceProgress } from './sequence.js';

export interface SequenceQueuesOptions {
  readonly cache: KvCacheManager;
  readonly tiers: PrefixTiers;
  /** Maximum number of running sequences. */
  readonly maxRunning: number;
  readonly policy: SchedulingPolicy;
  /** A sequence has ended, or was aborted. */
  readonly onEnd: (sequence: Sequence) => void;
}

/**
 * The state of every live sequence, and what happens to its blocks when that changes:
 *
 *     waiting (no blocks)  --admit-->  running  --pause-->  paused (keeps its blocks while it can)
 *        |     ^                          |                    |
 *        |     +--------- preempt --------+       resume: running if there is room, else waiting
 *        |     |
 *        +-> loading (no blocks, until those that tiers have are near; others run meanwhile)
 *
 * A sequence that stands for several (`Sequence.ids`) is one entry here, under each of their ids.
 */
export class SequenceQueues {
  readonly #cache: KvCacheManager;
  readonly #maxRunning: number;
  readonly #live = new Map<SequenceId, Sequence>();
  /** Holds the waiting sequences, and ranks all of them. */
  readonly #policy: SchedulingPolicy;
  readonly #onEnd: (sequence: Sequence) => void;
  readonly #tiers: PrefixTiers;
  /** By `order`. */
  readonly #loading = new Map<number, Sequence>();
  /** In order of service, so that the last one is the first to be preempted. */
  readonly #running: Sequence[] = [];
  readonly #paused = new PausedSequences();
  #created = 0;
  #preemptions = 0;

  constructor({ cache, tiers, maxRunning, policy, onEnd }: SequenceQueuesOptions) {
    this.#cache = cache;
    this.#tiers = tiers;
    this.#maxRunning = maxRunning;
    this.#policy = policy;
    this.#onEnd = onEnd;
  }

  get running(): readonly Sequence[] {
    return this.#running;
  }

  /** Those whose blocks are being loaded included. */
  get numWaiting(): number {
    return this.#policy.size + this.#loading.size;
  }

  get numLoading(): number {
    return this.#loading.size;
  }

  get numPaused(): number {
    return this.#paused.size;
  }

  /** Since the start. */
  get numPreemptions(): number {
    return this.#preemptions;
  }

  get isEmpty(): boolean {
    return this.#live.size === 0;
  }

  get hasRoom(): boolean {
    return this.#running.length < this.#maxRunning;
  }

  /** The number of the next sequence, in order of creation. */
  nextOrder(): number {
    return this.#created++;
  }

  find(id: SequenceId): Sequence | undefined {
    return this.#live.get(id);
  }

  /**
   * The waiting sequence that is served next.
   *
   * @param spec of its request; null for any
   */
  nextWaiting(spec: RequestSpec | null = null): Sequence | undefined {
    if (spec === null) return this.#policy.next();
    return [...this.#policy].filter((sequence) => sequence.spec === spec).sort(compareRank)[0];
  }

  /** Whether a sequence of this request is live. */
  hasAny(spec: RequestSpec): boolean {
    return [...this.#live.values()].some((sequence) => sequence.spec === spec);
  }

  /** Queues a new sequence. */
  add(sequence: Sequence): void {
    for (const id of sequence.ids) this.#live.set(id, sequence);
    this.#policy.add(sequence);
  }

  /** Lets a waiting sequence wait for blocks that tiers have. */
  load(sequence: Sequence): void {
    this.#policy.remove(sequence);
    this.#loading.set(sequence.order, sequence);
  }

  /** What the sequences have waited for is near, as far as it is to be had. */
  arrive(orders: readonly number[]): void {
    for (const order of orders) {
      const sequence = this.#loading.get(order);
      if (!sequence) continue;
      this.#loading.delete(order);
      this.#policy.add(sequence);
    }
  }

  /** Moves a waiting sequence, which now has blocks, to the running ones. */
  admit(sequence: Sequence): void {
    this.#policy.remove(sequence);
    this.#tiers.release(sequence.order);
    this.#run(sequence);
  }

  /**
   * Splits off one of the sequences that `parent` stands for, or creates a new one; it shares all
   * blocks.
   */
  fork(parent: Sequence, id: SequenceId): Sequence {
    const place = parent.ids.indexOf(id);
    if (place >= 0) parent.ids.splice(place, 1);
    else if (this.#live.has(id)) throw new Error(`${id} is alive already`);
    const { spec, tokens } = parent;
    const blocks = this.#cache.fork(parent.blocks);
    const child = new Sequence(spec, [id], tokens, this.nextOrder(), blocks);
    child.rank = parent.rank;
    child.numComputed = parent.numComputed;
    child.cachedTokens = parent.cachedTokens;
    child.tierTokens = parent.tierTokens;
    this.#live.set(id, child);
    if (this.#paused.covers(child)) this.#paused.park(child);
    else this.#runOrWait(child);
    return child;
  }

  /** @returns false when it is not, or no longer, here */
  remove(id: SequenceId): boolean {
    const sequence = this.#live.get(id);
    if (!sequence) return false;
    this.#live.delete(id);
    this.#paused.unmark(id);
    sequence.ids.splice(sequence.ids.indexOf(id), 1);
    if (sequence.ids.length > 0) {
      this.parkIfPaused(sequence);
      return true;
    }
    if (!this.#dequeue(sequence)) this.#paused.unpark(sequence);
    this.#cache.release(sequence.blocks);
    this.#tiers.release(sequence.order);
    this.#onEnd(sequence);
    return true;
  }

  /** Releases a sequence's blocks; it waits at its old place in the order of service. */
  preempt(sequence: Sequence): void {
    this.#stop(this.#running.indexOf(sequence));
    this.#preemptions += 1;
    this.#wait(sequence);
  }

  /**
   * Preempts a sequence whose computed tokens are no longer valid; its prefix is looked up for
   * `blocks` from now on.
   */
  restart(sequence: Sequence, blocks: SequenceBlocks): void {
    this.#loseBlocks(sequence, false);
    sequence.blocks = blocks;
    const index = this.#running.indexOf(sequence);
    if (index < 0) return;
    this.#stop(index);
    this.#policy.add(sequence);
  }

  /** @returns false when it is not, or no longer, here */
  pause(id: SequenceId): boolean {
    const sequence = this.#live.get(id);
    if (!sequence) return false;
    this.#paused.mark(id);
    this.parkIfPaused(sequence);
    return true;
  }

  /** @returns false when it was not paused */
  resume(id: SequenceId): boolean {
    const sequence = this.#live.get(id);
    if (!sequence || !this.#paused.unmark(id)) return false;
    if (!this.#paused.unpark(sequence)) return true;
    if (sequence.blocks.isEmpty) this.#policy.add(sequence);
    else this.#runOrWait(sequence);
    return true;
  }

  /** Call whenever a sequence stands for fewer ids than before. */
  parkIfPaused(sequence: Sequence): void {
    if (!this.#paused.covers(sequence) || !this.#dequeue(sequence)) return;
    if (sequence.blocks.isEmpty) this.#forgetTiers(sequence);
    this.#paused.park(sequence);
  }

  /**
   * Releases the blocks of the paused sequence that is last in order of service.
   *
   * @returns false when none has blocks
   */
  reclaimFromPaused(): boolean {
    const victim = this.#paused.lastWithBlocks();
    if (!victim) return false;
    this.#loseBlocks(victim, true);
    return true;
  }

  /** @param mostWaiting maximum number of waiting sequences */
  progress(mostWaiting: number): SequenceProgress[] {
    const waiting = [...this.#policy].sort(compareRank).slice(0, mostWaiting);
    return [
      ...this.#running.map((sequence) => sequence.progress('running')),
      ...[...this.#paused].map((sequence) => sequence.progress('paused')),
      ...[...this.#loading.values()].map((sequence) => sequence.progress('loading')),
      ...waiting.map((sequence) => sequence.progress('waiting')),
    ];
  }

  /** @throws Error when sequences, queues and blocks are inconsistent */
  checkIntegrity(): void {
    const live = new Set(this.#live.values());
    const withoutBlocks = [...this.#loading.values(), ...this.#policy];
    const queued = [...this.#running, ...this.#paused, ...withoutBlocks];
    if (queued.length !== live.size || queued.some((sequence) => !live.has(sequence))) {
      throw new Error(`${live.size} live sequences, ${queued.length} in the queues`);
    }
    if (this.#running.some((s, i) => i > 0 && compareRank(this.#running[i - 1], s) >= 0)) {
      throw new Error('the running sequences are not in order of service');
    }
    for (const sequence of [...this.#running, ...withoutBlocks]) {
      if (this.#paused.covers(sequence)) throw new Error(`${sequence.ids[0]} is paused and queued`);
    }
    this.#paused.checkIntegrity(this.#live);
    this.#policy.checkIntegrity?.();
    for (const { blocks, ids } of withoutBlocks) {
      if (!blocks.isEmpty) throw new Error(`${ids[0]} waits and holds blocks`);
    }
    this.#cache.checkIntegrity(queued.map(({ blocks }) => blocks));
  }

  /** For a sequence that has blocks. */
  #runOrWait(sequence: Sequence): void {
    if (this.hasRoom) this.#run(sequence);
    else this.#wait(sequence);
  }

  #run(sequence: Sequence): void {
    this.#policy.started?.(sequence);
    let index = this.#running.length;
    while (index > 0 && compareRank(sequence, this.#running[index - 1]) < 0) index -= 1;
    this.#running.splice(index, 0, sequence);
  }

  /** @param index in `running` */
  #stop(index: number): void {
    const [sequence] = this.#running.splice(index, 1);
    this.#policy.stopped?.(sequence);
  }

  #wait(sequence: Sequence): void {
    this.#loseBlocks(sequence, true);
    this.#policy.add(sequence);
  }

  /**
   * Its tokens stay: when it is admitted again, most of its blocks are usually still cached.
   *
   * @param returns it will ask for these blocks again
   */
  #loseBlocks(sequence: Sequence, returns: boolean): void {
    this.#cache.release(sequence.blocks, returns);
    sequence.numComputed = 0;
    this.#forgetTiers(sequence);
  }

  /** Tiers are asked again when it is to be admitted. */
  #forgetTiers(sequence: Sequence): void {
    this.#tiers.release(sequence.order);
    sequence.hasFetched = false;
  }

  /** @returns false when it neither runs nor waits */
  #dequeue(sequence: Sequence): boolean {
    const index = this.#running.indexOf(sequence);
    if (index < 0) return this.#loading.delete(sequence.order) || this.#policy.remove(sequence);
    this.#stop(index);
    return true;
  }
}
