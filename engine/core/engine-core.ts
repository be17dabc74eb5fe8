import type { CacheEvent } from '../../kvcache/cache-events.js';
import type { KvCacheManager } from '../../kvcache/kv-cache-manager.js';
import type { SequenceId } from '../../scheduler/ids.js';
import type { Scheduler } from '../../scheduler/scheduler.js';
import type { PromptContent } from '../../scheduler/sequence.js';
import type { AppliedUpdate, SequenceUpdate, StepPlan } from '../../scheduler/step-plan.js';
import type { Decision, Decoder, EndedSearch } from '../decoding/decoder.js';
import type { LogitsQuery } from '../decoding/logits-query.js';
import { LogitsQueryBuilder } from '../decoding/logits-query-builder.js';
import { PromptReading } from '../decoding/prompt-reading.js';
import { PromptRows } from '../decoding/prompt-rows.js';
import type { Proposer } from '../decoding/proposer.js';
import { RequestDecoders } from '../decoding/request-decoders.js';
import { StepAnswer } from '../decoding/step-answer.js';
import type { AdapterInfo, AdapterRef } from '../protocol/options.js';
import type { SequenceOutput } from '../protocol/outputs.js';
import type { PromptImage } from '../protocol/prompt-image.js';
import type {
  EngineSnapshot,
  EngineStats,
  StepReport,
  StepTimings,
  TierName,
} from '../protocol/reports.js';
import type { EngineRequest } from '../protocol/request.js';
import { seedOf } from '../sampling/random.js';
import { SequenceSampler } from '../sampling/sequence-sampler.js';
import type { TokenConstraint } from '../sampling/token-constraint.js';
import type { TieredCache } from '../tiers/tiered-cache.js';
import { checkRequest, refusalError } from './check-request.js';
import { foundOutput, RequestTimes, sequenceOutput } from './live-sequence.js';
import { LiveSequences, type SequenceHoldings } from './live-sequences.js';
import type { ModelRunner } from './model-runner.js';

/** Maximum number of waiting requests in a snapshot. */
const MOST_WAITING_SHOWN = 64;

export interface EngineCoreDependencies extends SequenceHoldings {
  readonly scheduler: Scheduler;
  readonly runner: ModelRunner;
  readonly vocabSize: number;
  readonly cache: KvCacheManager;
  /** Monotonic, milliseconds. */
  readonly now: () => number;
  /** Proposes the next tokens of sequences; absent for no proposals. */
  readonly proposer?: Proposer;
  /** Those that the scheduler asks, and the runner loads from; absent: there are none. */
  readonly tiers?: TieredCache;
  /** Decides how sequences continue. Default: as requests ask for, sampling with `proposer`. */
  readonly decoder?: Decoder;
}

/**
 * Connects scheduler, model and sampler. It has no thread or loop: its owner calls `step()` while
 * there is work, and all other methods between two steps.
 */
export class EngineCore {
  readonly #dependencies: EngineCoreDependencies;
  readonly #decoder: Decoder;
  readonly #live: LiveSequences;
  #steps = 0;
  #timings: StepTimings = { schedule: 0, segments: 0, attention: 0, sample: 0, total: 0 };
  #report: StepReport | null = null;

  constructor(dependencies: EngineCoreDependencies) {
    this.#dependencies = dependencies;
    this.#decoder = dependencies.decoder ?? new RequestDecoders(dependencies);
    this.#live = new LiveSequences(dependencies);
  }

  get hasWork(): boolean {
    return this.#dependencies.scheduler.hasWork;
  }

  /** The last step's time by phase. */
  get timings(): StepTimings {
    return this.#timings;
  }

  /** The last step; null before the first. */
  get report(): StepReport | null {
    return this.#report;
  }

  get stats(): EngineStats {
    const { scheduler, cache, tiers, adapters } = this.#dependencies;
    const { speculation } = this.#decoder;
    return {
      running: scheduler.numRunning,
      waiting: scheduler.numWaiting,
      loading: scheduler.numLoading,
      paused: scheduler.numPaused,
      preemptions: scheduler.numPreemptions,
      usedBlocks: cache.pool.numUsed,
      steps: this.#steps,
      ...(cache.pins.numBlocks > 0 && { pinnedBlocks: cache.pins.numBlocks }),
      ...(speculation && speculation.drafts > 0 && { speculation }),
      ...(adapters && { adapters: this.#live.adapterUse }),
      ...(tiers && { tiers: tiers.stats }),
    };
  }

  /**
   * @param constraints the constraint of each sequence, in the order of `request.ids`; empty for
   *   none. The core takes ownership, even when it throws, and disposes each when its sequence has
   *   ended
   * @throws OctavoError when the request can never run; states the reason and the limit
   */
  add(request: EngineRequest, constraints: readonly TokenConstraint[] = []): void {
    const { scheduler, now, vocabSize } = this.#dependencies;
    const { promptLogprobs, pooling, labels } = request;
    const readsPrompt = promptLogprobs !== null || pooling !== null || labels !== undefined;
    const promptRows = readsPrompt ? new PromptRows(request) : null;
    const arrivalTime = now();
    // Beams are no outputs: whatever is said of those (pause) does not concern them.
    const sequences = request.beams ? [`${request.ids[0]}/0` as SequenceId] : request.ids;
    let adapter: AdapterRef | null;
    try {
      checkRequest(request, vocabSize);
      adapter = this.#live.adapterOf(request.adapter);
      const { images, beams, ...spec } = request;
      const refusal = scheduler.add({
        ...spec,
        ids: sequences,
        // Where a search ends is for its decoder to say.
        ...(beams && { beams: beams.width, stopTokenIds: [] }),
        adapter,
        ...(images && { contents: images.map(contentOf) }),
        maxTokens: request.pooling === null ? request.maxTokens : 0,
        computesWholePrompt: promptRows?.readsAll ?? false,
        arrivalTime,
      });
      if (refusal) throw refusalError(refusal, request);
    } catch (error) {
      for (const constraint of constraints) constraint.dispose();
      throw error;
    }
    const times = new RequestTimes(arrivalTime);
    sequences.forEach((id, index) => {
      const params = { ...request.sampling, seed: seedOf(request.sampling.seed, index) };
      const constraint = constraints[index] ?? null;
      const sampler = new SequenceSampler({ ...request, params, constraint });
      const numLogprobs = request.logprobs;
      const logprobTokenIds = numLogprobs === null ? null : (request.logprobTokenIds ?? null);
      const kept = { promptRows, times, adapter, images: request.images ?? [] };
      const isBeam = request.beams !== undefined;
      const scores = { numLogprobs, logprobTokenIds };
      this.#live.add(id, { sampler, ...scores, ...kept, isBeam, hasBegun: false });
      this.#decoder.begin(id, request, constraint);
    });
  }

  /** Call between two steps. @returns false when the sequence has already ended */
  abort(id: SequenceId): boolean {
    const { scheduler, tiers } = this.#dependencies;
    const searched = this.#decoder.abandon(id);
    const isAborted = searched !== null || scheduler.abort(id);
    if (searched === null) this.#forget(id);
    else this.#endAll(searched);
    tiers?.unpinReleased();
    return isAborted;
  }

  /** Call between two steps. Sequences that have ended are ignored. */
  pause(ids: readonly SequenceId[]): void {
    for (const id of ids) this.#dependencies.scheduler.pause(id);
  }

  /** Between two steps. */
  resume(ids: readonly SequenceId[]): void {
    for (const id of ids) this.#dependencies.scheduler.resume(id);
  }

  /** Call between two steps. @returns false when nothing is pinned under this name */
  unpin(name: string): boolean {
    return this.#dependencies.cache.unpin(name);
  }

  /** Call between two steps. @returns false, without any change, while requests use blocks */
  resetPrefixCache(): boolean {
    const { cache, proposer } = this.#dependencies;
    const isReset = cache.resetPrefixCache();
    if (isReset) proposer?.resetCache();
    return isReset;
  }

  /**
   * Forgets what the tiers hold. Call between two steps; others may follow before it is done.
   *
   * @returns the tiers that could not
   */
  async clearTiers(): Promise<readonly TierName[]> {
    return (await this.#dependencies.tiers?.clear()) ?? [];
  }

  /**
   * Changes of the prefix cache since the last call; null for none. Call between two steps: a block
   * is stored when its step has ended.
   */
  takeCacheEvents(): readonly CacheEvent[] | null {
    return this.#dependencies.cache.events?.take() ?? null;
  }

  /** Those that requests may name; null for an engine that takes none. */
  get adapters(): readonly AdapterInfo[] | null {
    return this.#live.adapters;
  }

  /**
   * Loads an adapter from a directory; steps may run meanwhile.
   *
   * @throws OctavoError `usage` for an engine that takes none, and see `LoadedAdapters.load`
   */
  async loadAdapter(name: string, directory: string, inPlace: boolean): Promise<void> {
    await this.#live.loadAdapter(name, directory, inPlace);
  }

  /**
   * New requests cannot name it any more; those that run keep it to their end.
   *
   * @throws OctavoError `adapter_not_found`
   */
  unloadAdapter(name: string): void {
    this.#live.unloadAdapter(name);
  }

  /** Call between two steps. The caller owns the snapshot. */
  snapshot(): EngineSnapshot {
    const { scheduler, cache, now } = this.#dependencies;
    return {
      time: Math.round(now()),
      stats: this.stats,
      blocks: cache.map(),
      requests: scheduler.progress(MOST_WAITING_SHOWN),
    };
  }

  /** Call between two steps. @throws Error when requests, queues and blocks are inconsistent */
  checkIntegrity(): void {
    this.#dependencies.scheduler.checkIntegrity();
    this.#dependencies.proposer?.checkIntegrity();
    if (!this.hasWork && this.#live.size > 0) {
      throw new Error(`${this.#live.size} sequences have ended and are still here`);
    }
  }

  /**
   * Frees everything that sequences hold outside the cache. For an engine that has failed or is
   * closed.
   */
  dispose(): void {
    for (const id of this.#live.ids) this.#forget(id);
  }

  /**
   * Runs one step. After a rejection, the engine must not be used any more.
   *
   * @returns null when nothing can run, although there may be work: that changes only by a command,
   *   or when `whenReady` resolves
   */
  async step(): Promise<SequenceOutput[] | null> {
    const { scheduler, runner, now, vocabSize, cache, tiers, proposer } = this.#dependencies;
    const start = now();
    const held = this.#decoder.held();
    if (proposer?.prepare) await proposer.prepare(scheduler.decoding(held));
    const drafted = now();
    const plan = scheduler.schedule(this.#decoder.propose, held);
    if (!plan) {
      await tiers?.settle();
      return null;
    }
    const prompts = new PromptReading();
    const query = this.#ask(plan, prompts, start);
    await tiers?.copyOut();
    const scheduled = now();
    const result = await runner.execute(plan, query);
    const executed = now();
    await tiers?.settle();
    tiers?.computed(plan.numTokens, executed - scheduled);
    const answer = new StepAnswer(query, result, vocabSize);
    prompts.read(answer);
    const decision = this.#decoder.decide(answer);
    const { updates } = decision;
    this.#fork(updates);
    const results = scheduler.apply(plan, updates);
    const end = now();
    const outputs = results.flatMap((output) => this.#complete(output, end, decision) ?? []);
    for (const { id, drop } of updates) if (drop) this.#forget(id);
    for (const search of decision.searches ?? []) outputs.push(...this.#found(search, end));
    const [schedule, sample, total] = [scheduled - drafted, end - executed, end - start];
    const draft = proposer?.prepare ? { draft: drafted - start } : {};
    this.#timings = { ...runner.timings, ...draft, schedule, sample, total };
    this.#steps += 1;
    this.#report = {
      numTokens: plan.numTokens,
      timings: this.#timings,
      residency: cache.history.takeSamples(),
    };
    return outputs;
  }

  /**
   * Resolves when a sequence that was left out of steps, or waits for blocks, can continue; never
   * while there is none.
   */
  whenReady(): Promise<void> {
    const { tiers } = this.#dependencies;
    const decoded = this.#decoder.whenReady();
    return tiers ? Promise.race([decoded, tiers.whenArrived()]) : decoded;
  }

  /**
   * Builds the query of the rows that the plan's sequences need.
   *
   * @param start time at which the step began
   */
  #ask(plan: StepPlan, prompts: PromptReading, start: number): LogitsQuery {
    const builder = new LogitsQueryBuilder(this.#dependencies.vocabSize);
    let firstRow = 0;
    for (const sequence of plan.sequences) {
      const live = this.#live.find(sequence.id);
      const { promptRows, times } = live;
      times.begin(start);
      if (promptRows) prompts.ask(builder, promptRows, sequence, firstRow);
      const { sampledFor } = sequence;
      const sampled =
        sampledFor.length === 1 ? [live] : sampledFor.map((id) => this.#live.find(id));
      this.#decoder.ask(builder, sequence, firstRow, sampled);
      firstRow += sequence.tokenIds.length;
    }
    return builder.build();
  }

  /** Records the sequences that begin as forks. */
  #fork(updates: readonly SequenceUpdate[]): void {
    for (const { id, forks } of updates) {
      for (const fork of forks ?? []) this.#live.fork(fork.id, id);
    }
  }

  /**
   * Adds to an update what the scheduler knows nothing of, and lets a finished sequence go.
   *
   * @returns null for a beam, which is no output
   */
  #complete(update: AppliedUpdate, now: number, decision: Decision): SequenceOutput | null {
    const live = this.#live.find(update.id);
    if (live.isBeam) return null;
    const output = sequenceOutput(update, live, now, decision);
    if (output.finishReason !== null) this.#forget(update.id);
    return output;
  }

  /** The outputs of a search, which ends with them. */
  #found({ sequences, outputs }: EndedSearch, now: number): SequenceOutput[] {
    const beam = sequences.find((id) => this.#live.has(id)) as SequenceId;
    const [live, cached] = [this.#live.find(beam), this.#dependencies.scheduler.cachedOf(beam)];
    const found = outputs.map((output) => foundOutput(output, cached, live, now));
    this.#endAll(sequences);
    return found;
  }

  #endAll(ids: readonly SequenceId[]): void {
    for (const id of ids) {
      this.#forget(id);
      this.#dependencies.scheduler.abort(id);
    }
  }

  #forget(id: SequenceId): void {
    this.#decoder.forget(id);
    this.#live.forget(id);
  }
}

/** What the scheduler knows of an image. */
function contentOf({ start, end, key, isBidirectional }: PromptImage): PromptContent {
  return { start, end, key, ...(isBidirectional && { isBidirectional }) };
}
