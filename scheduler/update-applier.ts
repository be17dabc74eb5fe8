import type { KvCacheManager } from '../kvcache/kv-cache-manager.js';
import type { SequenceId, TokenId } from './ids.js';
import { maxPinnedBlocks, type SchedulerConfig } from './limits.js';
import type { Sequence } from './sequence.js';
import type { SequenceQueues } from './sequence-queues.js';
import type { SharedPrefixes } from './shared-prefixes.js';
import type { AppliedUpdate, FinishReason, SequenceUpdate, StepPlan } from './step-plan.js';

/** Applies the results of a step: sequences grow, fork and end. */
export class UpdateApplier {
  readonly #config: SchedulerConfig;
  readonly #cache: KvCacheManager;
  readonly #queues: SequenceQueues;
  readonly #prefixes: SharedPrefixes;

  constructor(
    config: SchedulerConfig,
    cache: KvCacheManager,
    queues: SequenceQueues,
    prefixes: SharedPrefixes,
  ) {
    this.#config = config;
    this.#cache = cache;
    this.#queues = queues;
    this.#prefixes = prefixes;
  }

  /**
   * @param planned the plan's sequences, in its order
   * @param updates see `Scheduler.apply`
   */
  apply(
    plan: StepPlan,
    planned: readonly Sequence[],
    updates: readonly SequenceUpdate[],
  ): AppliedUpdate[] {
    const applied: AppliedUpdate[] = [];
    const sampled = this.#advance(plan, planned, applied);
    if (updates.length !== sampled.length) {
      throw new Error(`${sampled.length} sequences of the plan get tokens, ${updates.length} did`);
    }
    for (let i = 0; i < updates.length; i++) this.#applyOne(sampled[i], updates[i], applied);
    return applied;
  }

  /**
   * Counts what the step has computed, and ends the sequences that need only their prompt.
   *
   * @returns the sequences that get tokens, after their siblings have been split off
   */
  #advance(plan: StepPlan, planned: readonly Sequence[], applied: AppliedUpdate[]): Sequence[] {
    const sampled: Sequence[] = [];
    for (let i = 0; i < plan.sequences.length; i++) {
      const { id, tokenIds, numProposed, sampledFor } = plan.sequences[i];
      const sequence = planned[i];
      if (sequence?.ids[0] !== id) throw new Error(`the last plan has no ${id} there`);
      sequence.numComputed += tokenIds.length - numProposed;
      if (sampledFor.length > 0) sampled.push(sequence);
      for (let k = 1; k < sampledFor.length; k++) {
        sampled.push(this.#queues.fork(sequence, sampledFor[k]));
      }
      this.#queues.parkIfPaused(sequence);
      if (sampledFor.length > 0) continue;
      const needed = this.#numNeeded(sequence);
      this.#cache.truncate(sequence.blocks, Math.min(sequence.numComputed, needed));
      const ends = sequence.spec.maxTokens === 0 && sequence.numComputed >= needed;
      // A copy, because sequences that end leave the list.
      if (ends) applied.push(...sequence.ids.slice().map((each) => this.#grow(sequence, each, [])));
    }
    return sampled;
  }

  /**
   * Number of tokens that must be computed before a sequence gets a token, or ends. One that only
   * pins its prompt ends behind the last whole block: there it holds what a lookup needs, some of
   * which could be evicted while it computed the rest.
   */
  #numNeeded({ spec: { maxTokens, pin }, tokens }: Sequence): number {
    const onlyPins = maxTokens === 0 && pin !== undefined;
    return tokens.length - (onlyPins ? tokens.length % this.#cache.blockSize : 0);
  }

  #applyOne(sequence: Sequence, update: SequenceUpdate, applied: AppliedUpdate[]): void {
    const { id, tokenIds, forks, drop = false } = update;
    if (sequence.ids[0] !== id) throw new Error(`the update of ${id} is that of another sequence`);
    // Forks come before the tokens, which are only the parent's.
    const children = forks?.map((fork) => this.#queues.fork(sequence, fork.id));
    if (drop) this.#queues.remove(id);
    else if (tokenIds.length > 0) applied.push(this.#grow(sequence, id, tokenIds));
    for (const [i, fork] of forks?.entries() ?? []) {
      applied.push(this.#grow((children as Sequence[])[i], fork.id, fork.tokenIds));
    }
  }

  /** Appends the decided tokens of a sequence up to the one that ends it, and then removes it. */
  #grow(sequence: Sequence, id: SequenceId, decided: readonly TokenId[]): AppliedUpdate {
    const tokenIds: TokenId[] = [];
    let finishReason = this.#finishReason(sequence, undefined);
    for (const token of decided) {
      sequence.tokens.push(token);
      tokenIds.push(token);
      finishReason = this.#finishReason(sequence, token);
      if (finishReason !== null) break;
    }
    let pinnedTokens: number | undefined;
    if (finishReason !== null) {
      pinnedTokens = this.#pin(sequence);
      this.#queues.remove(id);
    } else if (this.#config.switchLengths.includes(sequence.tokens.length - 1)) {
      const { spec, tokens } = sequence;
      this.#queues.restart(sequence, this.#prefixes.newBlocks(spec, tokens.length));
    } else if (!sequence.blocks.isEmpty) {
      // All but the last were proposals, which the step has computed.
      const computed = sequence.numComputed + decided.length - 1;
      sequence.numComputed = this.#cache.truncate(sequence.blocks, computed);
    }
    const update = {
      id,
      tokenIds,
      finishReason,
      ...cachedOf(sequence),
      ...(pinnedTokens !== undefined && { pinnedTokens }),
    };
    if (finishReason !== 'stop') return update;
    return { ...update, stopToken: tokenIds[tokenIds.length - 1] };
  }

  /** While its blocks are still the sequence's, so that none of them can be evicted before. */
  #pin({ spec: { pin, promptTokenIds: tokens }, blocks }: Sequence): number | undefined {
    if (pin === undefined) return undefined;
    const most = maxPinnedBlocks(this.#config, this.#cache);
    return this.#cache.pin(pin, { sequence: blocks, tokens }, most);
  }

  #finishReason(sequence: Sequence, last: TokenId | undefined): FinishReason | null {
    if (last !== undefined && sequence.spec.stopTokenIds.includes(last)) return 'stop';
    if (sequence.numGenerated >= sequence.spec.maxTokens) return 'length';
    return last !== undefined && sequence.repeats ? 'repetition' : null;
  }
}

/** For one that was scheduled, or whose parent was. */
export function cachedOf({
  cachedTokens,
  tierTokens,
}: Sequence): Pick<AppliedUpdate, 'cachedTokens' | 'tierTokens'> {
  return { cachedTokens: cachedTokens as number, ...(tierTokens > 0 && { tierTokens }) };
}
