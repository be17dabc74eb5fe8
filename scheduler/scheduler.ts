import type { KvCacheManager } from '../kvcache/kv-cache-manager.js';
import { numTierTokens } from '../kvcache/tier-contents.js';
import type { SequenceId } from './ids.js';
import { pinRefusalOf, type Refusal, refusalOf, type SchedulerConfig } from './limits.js';
import type { Deferred } from './pieces.js';
import { createPolicy } from './policies/create-policy.js';
import { preemptionVictim } from './policies/rank.js';
import type { SchedulingPolicy } from './policies/scheduling-policy.js';
import { BlockForecast } from './prediction/block-forecast.js';
import { LearnedLengths, type LengthPredictor } from './prediction/length-predictor.js';
import { NO_TIERS, type PrefixTiers } from './prefix-tiers.js';
import { type RequestSpec, Sequence, type SequenceProgress } from './sequence.js';
import { SequenceQueues } from './sequence-queues.js';
import { SharedPrefixes } from './shared-prefixes.js';
import { PROPOSE_NOTHING, type Propose, StepBuilder } from './step-builder.js';
import type { AppliedUpdate, SequenceUpdate, StepPlan } from './step-plan.js';
import { cachedOf, UpdateApplier } from './update-applier.js';

const NONE_HELD: ReadonlySet<SequenceId> = new Set();

/**
 * Continuous batching (Yu et al. 2022, Orca, section 4.1) over paged blocks (Kwon et al. 2023,
 * section 4): each step first continues the running sequences, decodes and unfinished prompts
 * alike, and then admits waiting ones while budget, seats and blocks last. `schedule()` decides,
 * `apply()` applies the results; no other method may be called between the two.
 */
export class Scheduler {
  readonly #config: SchedulerConfig;
  readonly #cache: KvCacheManager;
  readonly #policy: SchedulingPolicy;
  /** Null when neither the policy nor admission predicts. */
  readonly #predictor: LengthPredictor | null;
  readonly #queues: SequenceQueues;
  readonly #tiers: PrefixTiers;
  readonly #prefixes: SharedPrefixes;
  readonly #applier: UpdateApplier;
  /** The only request whose sequences are admitted; null: those of all are. */
  #admitted: RequestSpec | null = null;
  /** Sequences of the last plan, in its order, so that `apply` need not look them up by id. */
  #planned: readonly Sequence[] = [];
  /** What found no room in the last step. */
  #deferred: Deferred | null = null;

  /**
   * @param tiers where contents go that leave the cache; default: nowhere
   * @param predictor of lengths; default: they are learned. Unused where nothing predicts
   */
  constructor(
    config: SchedulerConfig,
    cache: KvCacheManager,
    tiers: PrefixTiers = NO_TIERS,
    predictor: LengthPredictor = new LearnedLengths(cache.blockSize),
  ) {
    this.#config = config;
    this.#cache = cache;
    this.#tiers = tiers;
    this.#prefixes = new SharedPrefixes(config, cache, tiers);
    this.#policy = createPolicy(config.policy, { config, prefixes: this.#prefixes, predictor });
    const predicts = config.policy === 'shortest' || (config.admissionQuantile ?? 0) > 0;
    this.#predictor = predicts ? predictor : null;
    this.#queues = new SequenceQueues({
      cache,
      tiers,
      maxRunning: config.maxNumSeqs,
      policy: this.#policy,
      onEnd: (sequence) => this.#predictor?.ended(sequence),
    });
    this.#applier = new UpdateApplier(config, cache, this.#queues, this.#prefixes);
  }

  get numRunning(): number {
    return this.#queues.running.length;
  }

  /** Those that wait for blocks from tiers included. */
  get numWaiting(): number {
    return this.#queues.numWaiting;
  }

  /** Number of sequences that wait for blocks from tiers. */
  get numLoading(): number {
    return this.#queues.numLoading;
  }

  /** Number of sequences that are set aside, see `pause`. */
  get numPaused(): number {
    return this.#queues.numPaused;
  }

  /** Since the start. */
  get numPreemptions(): number {
    return this.#queues.numPreemptions;
  }

  /** Whether there are live sequences; all of them may be paused. */
  get hasWork(): boolean {
    return !this.#queues.isEmpty;
  }

  /** Queues a request, or returns why it can never run. */
  add(spec: RequestSpec): Refusal | null {
    if (spec.ids.some((id) => this.#queues.find(id))) return { reason: 'duplicate-id' };
    const blocks = this.#prefixes.newBlocks(spec, spec.promptTokenIds.length);
    const refusal =
      refusalOf(spec, this.#config, this.#cache) ??
      pinRefusalOf(spec, this.#config, this.#cache, blocks);
    if (refusal) return refusal;
    const order = this.#queues.nextOrder();
    this.#queues.add(new Sequence(spec, spec.ids, spec.promptTokenIds, order, blocks));
    return null;
  }

  /** What was found in the prefix cache when a live sequence was first scheduled. */
  cachedOf(id: SequenceId): Pick<AppliedUpdate, 'cachedTokens' | 'tierTokens'> {
    return cachedOf(this.#queues.find(id) as Sequence);
  }

  /** Removes a sequence, between two steps. @returns false when it is not live */
  abort(id: SequenceId): boolean {
    return this.#queues.remove(id);
  }

  /**
   * Stops computing a sequence until `resume`; call it between two steps. While its prompt is
   * computed for others, it is only left out of what follows. It keeps its blocks until a running
   * or waiting sequence needs them, and is then preempted. Idempotent.
   *
   * @returns false when it is not live
   */
  pause(id: SequenceId): boolean {
    return this.#queues.pause(id);
  }

  /**
   * Resumes a sequence at its old place in the order of service; call it between two steps.
   *
   * @returns false when it was not paused
   */
  resume(id: SequenceId): boolean {
    return this.#queues.resume(id);
  }

  /**
   * Running sequences that have begun their output, in order of service: `schedule` will ask for
   * proposals of those for which the step has room. The same `held` as for `schedule`.
   */
  decoding(held: ReadonlySet<SequenceId> = NONE_HELD): SequenceId[] {
    return this.#queues.running.flatMap(({ ids: [id], numGenerated }) =>
      numGenerated > 0 && !held.has(id) ? id : [],
    );
  }

  /**
   * The next step, or null when nothing can run.
   *
   * @param propose absent for no proposals
   * @param held running sequences that are left out of this step. They keep their place, and their
   *   blocks unless others need them
   */
  schedule(
    propose: Propose = PROPOSE_NOTHING,
    held: ReadonlySet<SequenceId> = NONE_HELD,
  ): StepPlan | null {
    this.#queues.arrive(this.#tiers.takeArrived());
    if (this.#admitted && !this.#queues.hasAny(this.#admitted)) this.#admitted = null;
    const [cache, queues, policy] = [this.#cache, this.#queues, this.#policy];
    const step = new StepBuilder(this.#config, cache, queues, policy, propose, this.#deferred);
    // After a preemption, none is admitted: the freed blocks are for running sequences.
    if (this.#continueRunning(step, held)) this.#admitWaiting(step);
    if (step.isEmpty && held.size > 0 && this.numLoading === 0) this.#freeStuckSearch(step);
    this.#planned = step.planned;
    this.#deferred = step.deferred;
    return step.plan();
  }

  /**
   * Applies the results of a plan.
   *
   * @param plan the last plan
   * @param updates one for each of the plan's `sampledFor`, in order
   * @returns the output of each, and which are finished; finished sequences are removed
   */
  apply(plan: StepPlan, updates: readonly SequenceUpdate[]): AppliedUpdate[] {
    const planned = this.#planned;
    this.#planned = [];
    return this.#applier.apply(plan, planned, updates);
  }

  /**
   * Running, then paused, loading and waiting sequences, in order of service. Do not call it
   * between `schedule` and `apply`.
   *
   * @param mostWaiting maximum number of waiting sequences
   */
  progress(mostWaiting: number): SequenceProgress[] {
    return this.#queues.progress(mostWaiting);
  }

  /**
   * @throws Error when sequences, queues and blocks are inconsistent. Do not call it between
   *   `schedule` and `apply`.
   */
  checkIntegrity(): void {
    this.#queues.checkIntegrity();
  }

  /** @returns false when a sequence had to be preempted */
  #continueRunning(step: StepBuilder, held: ReadonlySet<SequenceId>): boolean {
    const { running, numPreemptions } = this.#queues;
    for (let i = 0; i < running.length && step.hasBudget; i++) {
      const sequence = running[i];
      if (held.size > 0 && sequence.ids.some((id) => held.has(id))) continue;
      if (sequence.numComputed === sequence.tokens.length && !this.#cache.canComputeAgain) {
        // It waits now, and is admitted behind a checkpoint, in this step if there is room.
        this.#queues.restart(sequence, sequence.blocks);
        i -= 1;
        continue;
      }
      const behind = running.length - 1 - i;
      if (!step.hasRoomFor(sequence, null, behind)) continue;
      while (!step.take(sequence, null, behind)) {
        const victim = preemptionVictim(running);
        this.#queues.preempt(victim);
        if (victim === sequence) return false;
      }
    }
    return this.#queues.numPreemptions === numPreemptions;
  }

  /**
   * When nothing can run, some beams of a search may wait for blocks or seats that held beams of
   * others have, whose siblings wait in turn. The oldest such search then gets all it needs, and is
   * alone admitted until it ends, so that each search ends: its beams always fit together.
   */
  #freeStuckSearch(step: StepBuilder): void {
    const { running } = this.#queues;
    const stuck = running
      .filter(({ spec }) => spec.beams !== undefined && this.#queues.nextWaiting(spec))
      .reduce<Sequence | null>((a, b) => (a && a.order < b.order ? a : b), null);
    if (!stuck) return;
    this.#admitted = stuck.spec;
    for (const other of running.filter(({ spec }) => spec !== stuck.spec)) {
      this.#queues.preempt(other);
    }
    this.#admitWaiting(step);
  }

  #admitWaiting(step: StepBuilder): void {
    if (this.#queues.numWaiting === 0) return;
    const forecast = this.#forecast();
    while (step.hasBudget && this.#queues.hasRoom) {
      const sequence = this.#queues.nextWaiting(this.#admitted);
      if (!sequence) return;
      if (this.#prefixes.mustLoad(sequence)) {
        this.#queues.load(sequence);
        continue;
      }
      const prefix = this.#prefixes.cachedPrefix(sequence);
      // One that finds none running has all blocks, whatever is predicted; held ones may wait for
      // it.
      const isAlone = step.isEmpty;
      if (forecast !== null && !isAlone && !forecast.fits(sequence, prefix)) return;
      if (!step.hasRoomFor(sequence, prefix)) return;
      // Blocks taken from paused sequences stay cached, so the prefix stays valid.
      if (!step.take(sequence, prefix)) return;
      if (sequence.cachedTokens === null) {
        sequence.cachedTokens = prefix?.numTokens ?? 0;
        sequence.tierTokens = prefix ? numTierTokens(prefix, this.#cache.blockSize) : 0;
      }
      this.#queues.admit(sequence);
      forecast?.admitted(sequence);
    }
  }

  /** Null where admission does not predict. */
  #forecast(): BlockForecast | null {
    const { admissionQuantile: quantile = 0, maxNumBatchedTokens: stepTokens } = this.#config;
    const [cache, predictor] = [this.#cache, this.#predictor];
    if (quantile === 0 || predictor === null) return null;
    return new BlockForecast({ cache, predictor, quantile, stepTokens }, this.#queues.running);
  }
}
