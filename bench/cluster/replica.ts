import { type CacheEvent, CacheEventLog } from '../../kvcache/cache-events.js';
import { FULL_ATTENTION } from '../../kvcache/cache-group.js';
import type { BlockHash } from '../../kvcache/ids.js';
import type { KvCacheManager } from '../../kvcache/kv-cache-manager.js';
import type { SequenceBlocks } from '../../kvcache/sequence-blocks.js';
import { simulatedCache } from '../eviction/simulated-cache.js';
import { BLOCK_SIZE } from '../eviction/trace.js';
import type { StepTimes } from './step-times.js';
import type { Arrival } from './workload.js';

/** As the server's defaults. */
const MAX_SEQUENCES = 64;
const STEP_TOKENS = 512;

export interface ReplicaOptions {
  readonly numBlocks: number;
  readonly times: StepTimes;
  /** Token ids that all sequences consist of: events hold them, hashes do not depend on them. */
  readonly tokenIds: readonly number[];
  /** Gets the events of each step; null for none. */
  readonly onEvents: ((events: readonly CacheEvent[]) => void) | null;
  readonly onFirstToken: (arrival: Arrival, cachedTokens: number, now: number) => void;
}

interface Running {
  readonly arrival: Arrival;
  readonly blocks: SequenceBlocks;
  readonly cached: number;
  computed: number;
  /** Tokens of the answer that are still to come. */
  left: number;
}

/**
 * One server without a model: the real cache, chunked prefill beside decoding, and the time that
 * such steps were measured to take. Steps that only decode, with the same sequences, are taken at
 * once.
 */
export class SimulatedReplica {
  readonly #options: ReplicaOptions;
  readonly #cache: KvCacheManager;
  readonly #waiting: Arrival[] = [];
  /** The first of them is computed next. */
  readonly #prefilling: Running[] = [];
  readonly #decoding = new Set<Running>();
  /** The steps that run: when they began, each one's time, how many, prompt tokens of the first. */
  #steps: { start: number; ms: number; count: number; chunk: number } | null = null;
  /** Prompt tokens that wait or are being computed, as far as they are not known to be cached. */
  pendingTokens = 0;
  busyMs = 0;

  constructor(options: ReplicaOptions) {
    this.#options = options;
    const { numBlocks } = options;
    const groups = [FULL_ATTENTION];
    this.#cache = simulatedCache(numBlocks, {
      groups,
      eviction: 'lru',
      ...(options.onEvents && { events: new CacheEventLog(BLOCK_SIZE, groups) }),
    });
  }

  /** Requests that wait or run. */
  get load(): number {
    return this.#waiting.length + this.#prefilling.length + this.#decoding.size;
  }

  get decoding(): number {
    return this.#decoding.size;
  }

  /** When its running steps end; null when it is idle. */
  get nextEnd(): number | null {
    if (!this.#steps) return null;
    const { start, ms, count } = this.#steps;
    return start + ms * count;
  }

  submit(arrival: Arrival, now: number): void {
    this.#waiting.push(arrival);
    this.pendingTokens += arrival.request.promptTokens;
    if (!this.#steps) {
      this.#begin(now);
    } else if (this.#steps.chunk === 0) {
      // The step that runs ends first.
      const { start, ms, count } = this.#steps;
      this.#steps.count = Math.min(count, Math.max(1, Math.ceil((now - start) / ms)));
    }
  }

  /** Call at `nextEnd`. */
  endSteps(now: number): void {
    if (!this.#steps) throw new Error('no steps run');
    const { ms, count, chunk } = this.#steps;
    this.#steps = null;
    this.busyMs += ms * count;
    for (const sequence of this.#decoding) {
      sequence.left -= count;
      sequence.computed += count;
      if (sequence.left <= 0) this.#finish(sequence);
    }
    this.#endPrefill(chunk, now);
    this.#begin(now);
  }

  #begin(now: number): void {
    this.#admit();
    const decoding = this.#decoding.size;
    const budget = STEP_TOKENS - decoding;
    let chunk = 0;
    let pairs = 0;
    for (const { arrival, computed } of this.#prefilling) {
      const taken = Math.min(budget - chunk, arrival.request.promptTokens - computed);
      chunk += taken;
      pairs += taken * (computed + taken / 2);
      if (chunk === budget) break;
    }
    if (decoding === 0 && chunk === 0) return;
    let context = 0;
    let count = Number.POSITIVE_INFINITY;
    for (const { computed, left } of this.#decoding) {
      context += computed;
      count = Math.min(count, left);
    }
    if (chunk > 0) count = 1;
    // Contexts grow while they decode: the middle stands for all.
    else context += (decoding * count) / 2;
    const { base, perSequence, perContext, perToken, perPair } = this.#options.times;
    const decode = perSequence * decoding + perContext * context;
    const ms = base + decode + perToken * chunk + perPair * pairs;
    this.#steps = { start: now, ms, count, chunk };
  }

  #admit(): void {
    while (this.#waiting.length > 0) {
      if (this.#prefilling.length + this.#decoding.size >= MAX_SEQUENCES) return;
      const [arrival] = this.#waiting;
      const { request, hashes } = arrival;
      const blocks = this.#cache.newSequence('root' as BlockHash);
      blocks.hashes.push(...hashes);
      const prompt = { length: request.promptTokens } as readonly number[];
      const prefix = this.#cache.findCachedPrefix(blocks, prompt);
      const cached = prefix?.numTokens ?? 0;
      if (!this.#cache.reserve(blocks, cached, request.tokens, prefix)) {
        if (this.load === this.#waiting.length) throw new Error('a request has no room');
        return;
      }
      this.#waiting.shift();
      this.pendingTokens -= cached;
      const left = request.tokens - request.promptTokens;
      this.#prefilling.push({ arrival, blocks, cached, computed: cached, left });
    }
  }

  #endPrefill(chunk: number, now: number): void {
    for (let rest = chunk; rest > 0; ) {
      const [sequence] = this.#prefilling;
      const { promptTokens } = sequence.arrival.request;
      const taken = Math.min(rest, promptTokens - sequence.computed);
      sequence.computed += taken;
      rest -= taken;
      this.pendingTokens -= taken;
      this.#commit(sequence, sequence.computed);
      if (sequence.computed < promptTokens) return;
      this.#prefilling.shift();
      this.#options.onFirstToken(sequence.arrival, sequence.cached, now);
      if (sequence.left > 0) this.#decoding.add(sequence);
      else this.#finish(sequence);
    }
  }

  #finish(sequence: Running): void {
    this.#decoding.delete(sequence);
    const { promptTokens, tokens } = sequence.arrival.request;
    // A server stores each block of the answer in a step of its own.
    const first = Math.ceil(promptTokens / BLOCK_SIZE) * BLOCK_SIZE;
    for (let end = first; end <= tokens; end += BLOCK_SIZE) this.#commit(sequence, end);
    this.#cache.release(sequence.blocks);
  }

  #commit(sequence: Running, numTokens: number): void {
    this.#cache.commit(sequence.blocks, this.#options.tokenIds, numTokens);
    const events = this.#cache.events?.take();
    if (events) this.#options.onEvents?.(events);
  }
}
