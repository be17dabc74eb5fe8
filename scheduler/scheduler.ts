import type { KvCacheManager } from '../kvcache/kv-cache-manager.js';
import type { SequenceId } from './ids.js';
import { type Refusal, refusalOf, type SchedulerConfig } from './limits.js';
import { preemptionVictim, rankOf } from './policies.js';
import { type RequestSpec, Sequence, type SequenceProgress } from './sequence.js';
import { SequenceQueues } from './sequence-queues.js';
import { SharedPrefixes } from './shared-prefixes.js';
import { PROPOSE_NOTHING, type Propose, StepBuilder } from './step-builder.js';
import type { AppliedUpdate, SequenceUpdate, StepPlan } from './step-plan.js';
import { UpdateApplier } from './update-applier.js';

const NONE_HELD: ReadonlySet<SequenceId> = new Set();

/**
 * Continuous batching (Yu et al. 2022, Orca, section 4.1) over paged blocks (Kwon et al. 2023, section 4): each step takes
 * the running sequences first, decodes and unfinished prompts alike, then admits what waits while budget, sequences and
 * blocks last. `schedule()` decides, `apply()` takes the results in; between the two nothing else may be called.
 */
export class Scheduler {
  readonly #config: SchedulerConfig;
  readonly #cache: KvCacheManager;
  readonly #queues: SequenceQueues;
  readonly #prefixes: SharedPrefixes;
  readonly #applier: UpdateApplier;
  /** Of the last plan, in its order: `apply` does not look them up by their names. */
  #planned: readonly Sequence[] = [];

  constructor(config: SchedulerConfig, cache: KvCacheManager) {
    this.#config = config;
    this.#cache = cache;
    this.#queues = new SequenceQueues(cache, config.maxNumSeqs);
    this.#prefixes = new SharedPrefixes(config, cache);
    this.#applier = new UpdateApplier(config, cache, this.#queues, this.#prefixes);
  }

  get numRunning(): number {
    return this.#queues.running.length;
  }

  get numWaiting(): number {
    return this.#queues.numWaiting;
  }

  /** Sequences that are set aside, see `pause`. */
  get numPaused(): number {
    return this.#queues.numPaused;
  }

  /** Since the start. */
  get numPreemptions(): number {
    return this.#queues.numPreemptions;
  }

  /** Whether anything is alive; it may all be paused. */
  get hasWork(): boolean {
    return !this.#queues.isEmpty;
  }

  /** Queues a request, or says at once why it can never run. */
  add(spec: RequestSpec): Refusal | null {
    if (spec.ids.some((id) => this.#queues.find(id))) return { reason: 'duplicate-id' };
    const refusal = refusalOf(spec, this.#config, this.#cache);
    if (refusal) return refusal;
    const rank = rankOf(this.#config.policy, spec.arrivalTime, spec.priority);
    const place = { rank, order: this.#queues.nextOrder() };
    const blocks = this.#prefixes.newBlocks(spec, spec.promptTokenIds.length);
    this.#queues.add(new Sequence(spec, spec.ids, spec.promptTokenIds, place, blocks));
    return null;
  }

  /** Lets a sequence go, between two steps. @returns false when it is not, or no longer, here */
  abort(id: SequenceId): boolean {
    return this.#queues.remove(id);
  }

  /**
   * Computes nothing more for a sequence until `resume`, between two steps. While its prompt is computed for others, it only
   * takes no part in what follows. Its blocks stay until a sequence that runs, or waits to, needs them: then it is as if
   * preempted. Twice is once.
   *
   * @returns false when it is not, or no longer, here
   */
  pause(id: SequenceId): boolean {
    return this.#queues.pause(id);
  }

  /** Lets a sequence go on, between two steps, where it stood in line. @returns false when it was not paused */
  resume(id: SequenceId): boolean {
    return this.#queues.resume(id);
  }

  /**
   * The next step, or null when nothing can run.
   *
   * @param propose absent: nothing is guessed
   * @param held running sequences that are left out of this step. They keep their place and, while they can, their blocks
   */
  schedule(
    propose: Propose = PROPOSE_NOTHING,
    held: ReadonlySet<SequenceId> = NONE_HELD,
  ): StepPlan | null {
    const step = new StepBuilder(this.#config, this.#cache, this.#queues, propose);
    // After a preemption none is admitted: the blocks that were won back belong to those that run.
    if (this.#continueRunning(step, held)) this.#admitWaiting(step);
    this.#planned = step.planned;
    return step.plan();
  }

  /**
   * Takes the results of a plan in.
   *
   * @param plan the last one
   * @param updates one for each of the plan's `sampledFor`, in their order
   * @returns what each of them got, and which are finished (those are gone from here)
   */
  apply(plan: StepPlan, updates: readonly SequenceUpdate[]): AppliedUpdate[] {
    const planned = this.#planned;
    this.#planned = [];
    return this.#applier.apply(plan, planned, updates);
  }

  /**
   * Those that run, those that are paused, then those that wait, in order of service. Not between `schedule` and `apply`.
   *
   * @param mostWaiting the rest of the line is left out
   */
  progress(mostWaiting: number): SequenceProgress[] {
    return this.#queues.progress(mostWaiting);
  }

  /** @throws Error when sequences, queues and blocks contradict each other. Not between `schedule` and `apply`. */
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
      while (!step.take(sequence, null)) {
        const victim = preemptionVictim(running);
        this.#queues.preempt(victim);
        if (victim === sequence) return false;
      }
    }
    return this.#queues.numPreemptions === numPreemptions;
  }

  #admitWaiting(step: StepBuilder): void {
    while (step.hasBudget && this.#queues.hasRoom) {
      const sequence = this.#queues.nextWaiting();
      if (!sequence) return;
      const prefix = this.#prefixes.cachedPrefix(sequence);
      // What the paused lose stays cached: the prefix remains one.
      if (!step.take(sequence, prefix)) return;
      sequence.cachedTokens ??= prefix?.numTokens ?? 0;
      this.#queues.admit(sequence);
    }
  }
}
