import { rootHash } from '../kvcache/block-hash.js';
import { BlockTable } from '../kvcache/block-table.js';
import type { BlockId } from '../kvcache/ids.js';
import type { BlockCopy, KvCacheManager } from '../kvcache/kv-cache-manager.js';
import type { RequestId, TokenId } from './ids.js';
import { PausedRequests } from './paused-requests.js';
import {
  chunkSize,
  compareRank,
  preemptionVictim,
  rankOf,
  type SchedulingPolicy,
} from './policies.js';
import { Request, type RequestSpec } from './request.js';
import { progressOf, type RequestProgress } from './request-progress.js';
import type {
  FinishReason,
  RequestOutput,
  SampledToken,
  ScheduledSequence,
  StepPlan,
} from './step-plan.js';
import { WaitingQueue } from './waiting-queue.js';

export interface SchedulerConfig {
  readonly policy: SchedulingPolicy;
  /** Sequences that run at the same time, at most. */
  readonly maxNumSeqs: number;
  /** Tokens of one step, at most. */
  readonly maxNumBatchedTokens: number;
  /** Tokens of one prompt in one step, at most; 0 leaves it to the budget. */
  readonly longPrefillThreshold: number;
  /** Longest prompt plus output. */
  readonly maxModelLength: number;
  /**
   * The model computes all tokens of a sequence that is longer than one of these lengths otherwise than those of a shorter one (LongRoPE's
   * factors). Rising; none for most models.
   */
  readonly switchLengths: readonly number[];
  /** Identifies model and page format in block hashes. */
  readonly modelFingerprint: string;
}

/** Why a request can never run, whatever else finishes. Plain data: the caller words the error. */
export type Refusal =
  | { readonly reason: 'empty-prompt' }
  | { readonly reason: 'duplicate-id' }
  | { readonly reason: 'context'; readonly tokens: number; readonly limit: number }
  | { readonly reason: 'pool'; readonly blocks: number; readonly limit: number };

/** A plan in the making. */
interface Draft {
  budget: number;
  readonly sequences: ScheduledSequence[];
  readonly blockCopies: BlockCopy[];
}

/**
 * Continuous batching (Yu et al. 2022, Orca, section 4.1) over paged blocks (Kwon et al. 2023, section 4): each step takes
 * the running requests first, decodes and unfinished prompts alike, then admits what waits while budget, sequences and
 * blocks last. `schedule()` decides, `apply()` takes the results in; between the two nothing else may be called.
 */
export class Scheduler {
  readonly #config: SchedulerConfig;
  readonly #cache: KvCacheManager;
  readonly #waiting = new WaitingQueue<Request>();
  /** In order of service, so that the last one is the first to be preempted. */
  readonly #running: Request[] = [];
  readonly #paused = new PausedRequests();
  /** Every live completion's sequence. */
  readonly #requests = new Map<RequestId, Request>();
  #created = 0;
  #preemptions = 0;

  constructor(config: SchedulerConfig, cache: KvCacheManager) {
    this.#config = config;
    this.#cache = cache;
  }

  get numRunning(): number {
    return this.#running.length;
  }

  get numWaiting(): number {
    return this.#waiting.size;
  }

  /** Sequences that are set aside, see `pause`. */
  get numPaused(): number {
    return this.#paused.size;
  }

  /** Since the start. */
  get numPreemptions(): number {
    return this.#preemptions;
  }

  /** Whether anything is alive; it may all be paused. */
  get hasWork(): boolean {
    return this.#requests.size > 0;
  }

  /** Queues a request, or says at once why it can never run. */
  add(spec: RequestSpec): Refusal | null {
    const refusal = this.#refusal(spec);
    if (refusal) return refusal;
    const rank = rankOf(this.#config.policy, spec.arrivalTime, spec.priority);
    const order = { rank, sequence: this.#created++ };
    const request = new Request(
      spec,
      spec.ids,
      order,
      this.#newTable(spec, spec.promptTokenIds.length),
    );
    for (const id of spec.ids) this.#requests.set(id, request);
    this.#waiting.push(request);
    return null;
  }

  /** Lets a completion go, between two steps. @returns false when it is not, or no longer, here */
  abort(id: RequestId): boolean {
    const request = this.#requests.get(id);
    if (!request) return false;
    this.#requests.delete(id);
    this.#paused.unmark(id);
    request.ids.splice(request.ids.indexOf(id), 1);
    if (request.ids.length === 0) this.#leave(request);
    else this.#parkIfPaused(request);
    return true;
  }

  /**
   * Computes nothing more for a completion until `resume`, between two steps. While its prompt is computed for others, it only takes no
   * part in what follows. Its blocks stay, unless somebody who runs, or waits to, needs them: then it is as if preempted. Twice is once.
   *
   * @returns false when it is not, or no longer, here
   */
  pause(id: RequestId): boolean {
    const request = this.#requests.get(id);
    if (!request) return false;
    this.#paused.mark(id);
    this.#parkIfPaused(request);
    return true;
  }

  /** Lets a completion go on, between two steps, where it stood in line. @returns false when it was not paused */
  resume(id: RequestId): boolean {
    const request = this.#requests.get(id);
    if (!request || !this.#paused.unmark(id)) return false;
    if (!this.#paused.unpark(request)) return true;
    if (request.table.blocks.length > 0) this.#runOrWait(request);
    else this.#waiting.push(request);
    return true;
  }

  /** The next step, or null when nothing can run. */
  schedule(): StepPlan | null {
    const step: Draft = {
      budget: this.#config.maxNumBatchedTokens,
      sequences: [],
      blockCopies: [],
    };
    // After a preemption nobody is admitted: the blocks that were won back belong to those who run.
    if (this.#continueRunning(step)) this.#admitWaiting(step);
    if (step.sequences.length === 0) return null;
    const numTokens = this.#config.maxNumBatchedTokens - step.budget;
    return { sequences: step.sequences, numTokens, blockCopies: step.blockCopies };
  }

  /**
   * Takes the results of a plan in: one token for every sampler of it.
   * @returns what each sampled request got, and who is finished (those are gone from here)
   */
  apply(plan: StepPlan, sampled: readonly SampledToken[]): RequestOutput[] {
    const outputs: RequestOutput[] = [];
    for (const sequence of plan.sequences) {
      const request = this.#live(sequence.requestId);
      request.numComputed += sequence.tokenIds.length;
      for (const sibling of sequence.samplers.slice(1)) this.#fork(request, sibling);
      this.#parkIfPaused(request);
      const ends = request.spec.maxTokens === 0 && request.numComputed === request.tokens.length;
      // A copy: each that ends leaves the list.
      if (ends) outputs.push(...request.ids.slice().map((id) => this.#output(id, [])));
    }
    for (const { requestId, tokenId } of sampled) {
      const request = this.#live(requestId);
      request.tokens.push(tokenId);
      outputs.push(this.#output(requestId, [tokenId]));
      const isLive = this.#requests.has(requestId);
      if (isLive && this.#config.switchLengths.includes(request.tokens.length - 1)) {
        this.#startAnew(request);
      }
    }
    return outputs;
  }

  /**
   * Those that run, those that are paused, then those that wait, in order of service. Not between `schedule` and `apply`.
   *
   * @param mostWaiting the rest of the line is left out
   */
  progress(mostWaiting: number): RequestProgress[] {
    const waiting = [...this.#waiting].sort(compareRank).slice(0, mostWaiting);
    return [
      ...this.#running.map((request) => progressOf(request, 'running')),
      ...[...this.#paused].map((request) => progressOf(request, 'paused')),
      ...waiting.map((request) => progressOf(request, 'waiting')),
    ];
  }

  /** @throws Error when requests, queues and blocks contradict each other. Not between `schedule` and `apply`. */
  checkIntegrity(): void {
    const live = new Set(this.#requests.values());
    const queued = [...this.#running, ...this.#paused, ...this.#waiting];
    if (queued.length !== live.size || queued.some((request) => !live.has(request))) {
      throw new Error(`${live.size} live requests, ${queued.length} in the queues`);
    }
    if (this.#running.some((r, i) => i > 0 && compareRank(this.#running[i - 1], r) >= 0)) {
      throw new Error('the running requests are not in order of service');
    }
    for (const request of [...this.#running, ...this.#waiting]) {
      if (this.#paused.covers(request)) throw new Error(`${request.ids[0]} is paused and queued`);
    }
    this.#paused.checkIntegrity(this.#requests);
    for (const request of this.#waiting) {
      if (request.table.blocks.length > 0)
        throw new Error(`${request.ids[0]} waits and holds blocks`);
    }
    this.#cache.checkIntegrity(queued.map((request) => request.table));
  }

  /** @returns false when somebody had to be preempted */
  #continueRunning(step: Draft): boolean {
    const preemptions = this.#preemptions;
    for (let i = 0; i < this.#running.length && step.budget > 0; i++) {
      const request = this.#running[i];
      while (!this.#takeFromPaused(step, request, [])) {
        const victim = preemptionVictim(this.#running);
        this.#preempt(victim);
        if (victim === request) return false;
      }
    }
    return this.#preemptions === preemptions;
  }

  #admitWaiting(step: Draft): void {
    while (step.budget > 0 && this.#running.length < this.#config.maxNumSeqs) {
      const request = this.#waiting.peek();
      if (!request) return;
      const hits = this.#cachedPrefix(request);
      // What the paused lose stays cached: the hits remain hits.
      if (!this.#takeFromPaused(step, request, hits)) return;
      request.cachedTokens ??= hits.length * this.#cache.blockSize;
      this.#waiting.remove(request);
      this.#run(request);
    }
  }

  /** As `#take`; the blocks of the paused go first. */
  #takeFromPaused(step: Draft, request: Request, hits: readonly BlockId[]): boolean {
    while (!this.#take(step, request, hits)) {
      const victim = this.#paused.lastWithBlocks();
      if (!victim) return false;
      this.#loseBlocks(victim);
    }
    return true;
  }

  /** Puts the next piece of a request into the step. @returns false, with nothing changed, when blocks are missing */
  #take(step: Draft, request: Request, hits: readonly BlockId[]): boolean {
    const { tokens, table } = request;
    const computed = request.numComputed + hits.length * this.#cache.blockSize;
    const pending = tokens.length - computed;
    const count = chunkSize(pending, step.budget, this.#config.longPrefillThreshold);
    const end = computed + count;
    const copies = this.#cache.allocate(table, tokens, computed, end, hits);
    if (!copies) return false;
    request.numComputed = computed;
    step.budget -= count;
    step.blockCopies.push(...copies);
    step.sequences.push({
      requestId: request.ids[0],
      tokenIds: tokens.slice(computed, end),
      numComputed: computed,
      sequenceLength: tokens.length,
      blocks: table.blocks,
      samplers: end === tokens.length && request.spec.maxTokens > 0 ? [...request.ids] : [],
    });
    return true;
  }

  #refusal(spec: RequestSpec): Refusal | null {
    if (spec.ids.some((id) => this.#requests.has(id))) return { reason: 'duplicate-id' };
    if (spec.promptTokenIds.length === 0) return { reason: 'empty-prompt' };
    const tokens = spec.promptTokenIds.length + spec.maxTokens;
    const { maxModelLength } = this.#config;
    if (tokens > maxModelLength) return { reason: 'context', tokens, limit: maxModelLength };
    // The last token is sampled but never computed, so it needs no place.
    const blocks = this.#cache.blocksFor(spec.maxTokens > 0 ? tokens - 1 : tokens);
    const limit = this.#cache.pool.numBlocks;
    return blocks > limit ? { reason: 'pool', blocks, limit } : null;
  }

  #live(id: RequestId): Request {
    const request = this.#requests.get(id);
    if (!request) throw new Error(`the plan names ${id}, which is not here`);
    return request;
  }

  #cachedPrefix(request: Request): BlockId[] {
    if (request.spec.computesWholePrompt && request.numGenerated === 0) return [];
    return this.#cache.findCachedPrefix(request.table, request.tokens);
  }

  /** What a step meant for a completion, which is let go when that was the last. */
  #output(requestId: RequestId, tokenIds: readonly TokenId[]): RequestOutput {
    const request = this.#live(requestId);
    const finishReason = this.#finishReason(request, tokenIds.at(-1));
    if (finishReason !== null) this.abort(requestId);
    return { requestId, tokenIds, finishReason, cachedTokens: request.cachedTokens ?? 0 };
  }

  #finishReason(request: Request, last: TokenId | undefined): FinishReason | null {
    if (last !== undefined && request.spec.stopTokenIds.includes(last)) return 'stop';
    return request.numGenerated >= request.spec.maxTokens ? 'length' : null;
  }

  /** Gives a completion its own sequence; it shares the prompt's blocks, the partial one until it writes there. */
  #fork(parent: Request, id: RequestId): void {
    parent.ids.splice(parent.ids.indexOf(id), 1);
    const order = { rank: parent.rank, sequence: this.#created++ };
    const child = new Request(parent.spec, [id], order, this.#cache.fork(parent.table));
    child.numComputed = parent.numComputed;
    child.cachedTokens = parent.cachedTokens;
    this.#requests.set(id, child);
    if (this.#paused.covers(child)) this.#paused.park(child);
    else this.#runOrWait(child);
  }

  /** For a sequence that has blocks. */
  #runOrWait(request: Request): void {
    if (this.#running.length < this.#config.maxNumSeqs) this.#run(request);
    else this.#wait(request);
  }

  #run(request: Request): void {
    let index = this.#running.length;
    while (index > 0 && compareRank(request, this.#running[index - 1]) < 0) index -= 1;
    this.#running.splice(index, 0, request);
  }

  #preempt(request: Request): void {
    this.#running.splice(this.#running.indexOf(request), 1);
    this.#preemptions += 1;
    this.#wait(request);
  }

  #wait(request: Request): void {
    this.#loseBlocks(request);
    this.#waiting.push(request);
  }

  /** Its blocks go, its tokens stay: when it is admitted again, most of them are usually still cached. */
  #loseBlocks(request: Request): void {
    this.#cache.release(request.table);
    request.numComputed = 0;
  }

  #parkIfPaused(request: Request): void {
    if (!this.#paused.covers(request) || !this.#dequeue(request)) return;
    this.#paused.park(request);
  }

  /** What was computed of a sequence holds for shorter ones only: as after a preemption, but other blocks may be cached. */
  #startAnew(request: Request): void {
    this.#loseBlocks(request);
    request.table = this.#newTable(request.spec, request.tokens.length);
    const index = this.#running.indexOf(request);
    if (index < 0) return;
    this.#running.splice(index, 1);
    this.#waiting.push(request);
  }

  #newTable({ cacheSalt }: RequestSpec, length: number): BlockTable {
    const { modelFingerprint, switchLengths } = this.#config;
    const lengthClass = switchLengths.filter((limit) => length > limit).length;
    return new BlockTable(rootHash({ modelFingerprint, cacheSalt, lengthClass }));
  }

  #leave(request: Request): void {
    if (!this.#dequeue(request)) this.#paused.unpark(request);
    this.#cache.release(request.table);
  }

  /** @returns false when it neither runs nor waits */
  #dequeue(request: Request): boolean {
    const index = this.#running.indexOf(request);
    if (index < 0) return this.#waiting.remove(request);
    this.#running.splice(index, 1);
    return true;
  }
}
