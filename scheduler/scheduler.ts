import { rootHash } from '../kvcache/block-hash.js';
import type { BlockCopy, KvCacheManager } from '../kvcache/kv-cache-manager.js';
import type { CachedPrefix } from '../kvcache/prefix-lookup.js';
import type { SequenceBlocks } from '../kvcache/sequence-blocks.js';
import type { SequenceId, TokenId } from './ids.js';
import { chunkSize, preemptionVictim, rankOf, type SchedulingPolicy } from './policies.js';
import { type RequestSpec, Sequence, type SequenceProgress } from './sequence.js';
import { SequenceQueues } from './sequence-queues.js';
import type {
  AppliedUpdate,
  FinishReason,
  ScheduledSequence,
  SequenceUpdate,
  StepPlan,
} from './step-plan.js';

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
   * The model computes all tokens of a sequence that is longer than one of these lengths otherwise than those of a shorter
   * one (LongRoPE's factors). Rising; none for most models.
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

/**
 * Guesses how a sequence goes on, at most `most` tokens; none is always right. The step computes them behind the last
 * known token, and what is decided of its rows says how many were right.
 */
export type Propose = (id: SequenceId, most: number) => readonly TokenId[];

const NONE_HELD: ReadonlySet<SequenceId> = new Set();

/** A plan in the making. */
interface StepBuilder {
  readonly propose: Propose;
  readonly held: ReadonlySet<SequenceId>;
  budget: number;
  readonly sequences: ScheduledSequence[];
  /** Those of `sequences`, in the same order. */
  readonly planned: Sequence[];
  readonly blockCopies: BlockCopy[];
}

/** The cached prefix of the sequence that waits first, and what it was found by. */
interface Lookup {
  readonly blocks: SequenceBlocks;
  readonly version: number;
  readonly prefix: CachedPrefix | null;
}

/**
 * Continuous batching (Yu et al. 2022, Orca, section 4.1) over paged blocks (Kwon et al. 2023, section 4): each step takes
 * the running sequences first, decodes and unfinished prompts alike, then admits what waits while budget, sequences and
 * blocks last. `schedule()` decides, `apply()` takes the results in; between the two nothing else may be called.
 */
export class Scheduler {
  readonly #config: SchedulerConfig;
  readonly #cache: KvCacheManager;
  readonly #queues: SequenceQueues;
  #lookup: Lookup | null = null;
  /** Of the last plan, in its order: `apply` does not look them up by their names. */
  #planned: readonly Sequence[] = [];

  constructor(config: SchedulerConfig, cache: KvCacheManager) {
    this.#config = config;
    this.#cache = cache;
    this.#queues = new SequenceQueues(cache, config.maxNumSeqs);
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
    const refusal = this.#refusal(spec);
    if (refusal) return refusal;
    const rank = rankOf(this.#config.policy, spec.arrivalTime, spec.priority);
    const place = { rank, order: this.#queues.nextOrder() };
    const blocks = this.#newBlocks(spec, spec.promptTokenIds.length);
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
    propose: Propose = () => [],
    held: ReadonlySet<SequenceId> = NONE_HELD,
  ): StepPlan | null {
    const step: StepBuilder = {
      propose,
      held,
      budget: this.#config.maxNumBatchedTokens,
      sequences: [],
      planned: [],
      blockCopies: [],
    };
    // After a preemption none is admitted: the blocks that were won back belong to those that run.
    if (this.#continueRunning(step)) this.#admitWaiting(step);
    this.#planned = step.planned;
    if (step.sequences.length === 0) return null;
    const numTokens = this.#config.maxNumBatchedTokens - step.budget;
    return { sequences: step.sequences, numTokens, blockCopies: step.blockCopies };
  }

  /**
   * Takes the results of a plan in.
   *
   * @param plan the last one
   * @param updates one for each of the plan's `sampledFor`, in their order
   * @returns what each of them got, and which are finished (those are gone from here)
   */
  apply(plan: StepPlan, updates: readonly SequenceUpdate[]): AppliedUpdate[] {
    const outputs: AppliedUpdate[] = [];
    const sampled: Sequence[] = [];
    for (const [index, { id, tokenIds, numProposed, sampledFor }] of plan.sequences.entries()) {
      const sequence = this.#planned[index];
      if (sequence?.ids[0] !== id) throw new Error(`the last plan has no ${id} there`);
      sequence.numComputed += tokenIds.length - numProposed;
      if (sampledFor.length > 0) sampled.push(sequence);
      for (let i = 1; i < sampledFor.length; i++) {
        sampled.push(this.#queues.fork(sequence, sampledFor[i]));
      }
      this.#queues.parkIfPaused(sequence);
      if (sampledFor.length > 0) continue;
      this.#cache.truncate(sequence.blocks, sequence.numComputed);
      const ends = sequence.spec.maxTokens === 0 && sequence.numComputed === sequence.tokens.length;
      // A copy: each that ends leaves the list.
      if (ends)
        outputs.push(...sequence.ids.slice().map((each) => this.#accept(sequence, each, [])));
    }
    this.#planned = [];
    if (updates.length !== sampled.length) {
      throw new Error(`${sampled.length} sequences of the plan get tokens, ${updates.length} did`);
    }
    for (const [index, { id, tokenIds, forks = [], drop = false }] of updates.entries()) {
      const sequence = sampled[index];
      if (sequence.ids[0] !== id)
        throw new Error(`the update of ${id} is that of another sequence`);
      // Before the tokens: they are the parent's alone.
      const children = forks.map((fork) => this.#queues.fork(sequence, fork.id));
      if (drop) this.#queues.remove(id);
      else if (tokenIds.length > 0) outputs.push(this.#accept(sequence, id, tokenIds));
      for (const [i, child] of children.entries()) {
        outputs.push(this.#accept(child, forks[i].id, forks[i].tokenIds));
      }
    }
    return outputs;
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
  #continueRunning(step: StepBuilder): boolean {
    const { running, numPreemptions } = this.#queues;
    for (let i = 0; i < running.length && step.budget > 0; i++) {
      const sequence = running[i];
      if (step.held.size > 0 && sequence.ids.some((id) => step.held.has(id))) continue;
      while (!this.#take(step, sequence, null)) {
        const victim = preemptionVictim(running);
        this.#queues.preempt(victim);
        if (victim === sequence) return false;
      }
    }
    return this.#queues.numPreemptions === numPreemptions;
  }

  #admitWaiting(step: StepBuilder): void {
    while (step.budget > 0 && this.#queues.hasRoom) {
      const sequence = this.#queues.nextWaiting();
      if (!sequence) return;
      const prefix = this.#cachedPrefix(sequence);
      // What the paused lose stays cached: the prefix remains one.
      if (!this.#take(step, sequence, prefix)) return;
      sequence.cachedTokens ??= prefix?.numTokens ?? 0;
      this.#queues.admit(sequence);
    }
  }

  /**
   * Puts the next piece of a sequence into the step. Proposals are given up, and the paused lose their blocks, before it
   * fails.
   *
   * @returns false, with nothing changed, when blocks are missing
   */
  #take(step: StepBuilder, sequence: Sequence, prefix: CachedPrefix | null): boolean {
    const { tokens, blocks, spec } = sequence;
    // All are computed where nothing could be decided after the last one: its row is wanted again.
    const done = sequence.numComputed + (prefix?.numTokens ?? 0);
    const computed = Math.min(done, tokens.length - 1);
    const { longPrefillThreshold } = this.#config;
    const known = chunkSize(tokens.length - computed, step.budget, longPrefillThreshold);
    const end = computed + known;
    const samples = end === tokens.length && spec.maxTokens > 0;
    let proposed = samples ? this.#proposalsFor(step.propose, sequence, step.budget - known) : [];
    let copies = this.#cache.reserve(blocks, computed, end + proposed.length, prefix);
    if (!copies && proposed.length > 0) {
      proposed = [];
      copies = this.#cache.reserve(blocks, computed, end, prefix);
    }
    while (!copies && this.#queues.reclaimFromPaused()) {
      copies = this.#cache.reserve(blocks, computed, end, prefix);
    }
    if (!copies) return false;
    this.#cache.commit(blocks, tokens, end);
    sequence.numComputed = computed;
    step.budget -= known + proposed.length;
    step.planned.push(sequence);
    step.blockCopies.push(...copies);
    step.sequences.push({
      id: sequence.ids[0],
      tokenIds: [...tokens.slice(computed, end), ...proposed],
      numProposed: proposed.length,
      numComputed: computed,
      sequenceLength: tokens.length,
      blockTables: blocks.tables,
      adapter: spec.adapter ?? null,
      sampledFor: samples ? [...sequence.ids] : [],
    });
    return true;
  }

  /** @param budget tokens that the step has room for */
  #proposalsFor(
    propose: Propose,
    { spec, ids, tokens, numGenerated }: Sequence,
    budget: number,
  ): readonly TokenId[] {
    // All rows of the step are computed as those of a sequence of the present length.
    const untilSwitch = this.#config.switchLengths.find((limit) => limit >= tokens.length);
    const most = Math.min(
      budget,
      // Behind the accepted ones one more token is always chosen.
      spec.maxTokens - numGenerated - 1,
      (untilSwitch ?? Number.POSITIVE_INFINITY) - tokens.length,
    );
    return ids.length === 1 && most > 0 ? propose(ids[0], most).slice(0, most) : [];
  }

  #refusal(spec: RequestSpec): Refusal | null {
    if (spec.ids.some((id) => this.#queues.find(id))) return { reason: 'duplicate-id' };
    if (spec.promptTokenIds.length === 0) return { reason: 'empty-prompt' };
    const tokens = spec.promptTokenIds.length + spec.maxTokens;
    const { maxModelLength, maxNumBatchedTokens } = this.#config;
    if (tokens > maxModelLength) return { reason: 'context', tokens, limit: maxModelLength };
    // The last token is sampled but never computed, so it needs no place.
    const stored = spec.maxTokens > 0 ? tokens - 1 : tokens;
    const blocks = this.#cache.maxHeldBlocks(stored, maxNumBatchedTokens);
    const limit = this.#cache.pool.numBlocks;
    return blocks > limit ? { reason: 'pool', blocks, limit } : null;
  }

  /** @param length of the sequence, which decides with whom it can share */
  #newBlocks({ cacheSalt, adapter = null, contents }: RequestSpec, length: number): SequenceBlocks {
    const { modelFingerprint, switchLengths } = this.#config;
    const lengthClass = switchLengths.filter((limit) => length > limit).length;
    const root = rootHash({ modelFingerprint, adapter, cacheSalt, lengthClass });
    return this.#cache.newSequence(root, contents);
  }

  /** Looked up again only when the cache has changed: the first in line may wait for many steps. */
  #cachedPrefix(sequence: Sequence): CachedPrefix | null {
    const { spec, numGenerated, blocks, tokens } = sequence;
    if (spec.computesWholePrompt && numGenerated === 0) return null;
    const { version } = this.#cache.pool;
    if (this.#lookup?.blocks !== blocks || this.#lookup.version !== version) {
      const prefix = this.#cache.findCachedPrefix(blocks, tokens);
      this.#lookup = { blocks, version, prefix };
    }
    return this.#lookup.prefix;
  }

  /** Appends what was decided for a sequence, up to what ends it, and lets it go then. */
  #accept(sequence: Sequence, id: SequenceId, decided: readonly TokenId[]): AppliedUpdate {
    const tokenIds: TokenId[] = [];
    let finishReason = this.#finishReason(sequence, undefined);
    for (const token of decided) {
      sequence.tokens.push(token);
      tokenIds.push(token);
      finishReason = this.#finishReason(sequence, token);
      if (finishReason !== null) break;
    }
    if (finishReason !== null) {
      this.#queues.remove(id);
    } else if (this.#config.switchLengths.includes(sequence.tokens.length - 1)) {
      this.#queues.restart(sequence, this.#newBlocks(sequence.spec, sequence.tokens.length));
    } else if (!sequence.blocks.isEmpty) {
      // All of them but the last were proposals, which the step has computed.
      sequence.numComputed += decided.length - 1;
      this.#cache.truncate(sequence.blocks, sequence.numComputed);
    }
    // It was scheduled, or its parent was.
    const cachedTokens = sequence.cachedTokens as number;
    const output = { id, tokenIds, finishReason, cachedTokens };
    return finishReason === 'stop'
      ? { ...output, stopToken: tokenIds[tokenIds.length - 1] }
      : output;
  }

  #finishReason(sequence: Sequence, last: TokenId | undefined): FinishReason | null {
    if (last !== undefined && sequence.spec.stopTokenIds.includes(last)) return 'stop';
    return sequence.numGenerated >= sequence.spec.maxTokens ? 'length' : null;
  }
}
