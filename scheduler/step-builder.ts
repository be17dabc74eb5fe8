import type { BlockCopy } from '../kvcache/kv-cache-config.js';
import type { KvCacheManager } from '../kvcache/kv-cache-manager.js';
import type { CachedPrefix } from '../kvcache/prefix-lookup.js';
import { type BlockLoad, loadsOf } from '../kvcache/tier-contents.js';
import type { SequenceId, TokenId } from './ids.js';
import type { SchedulerConfig } from './limits.js';
import { chunkSize, type Deferred, wholeEnd } from './pieces.js';
import type { SchedulingPolicy } from './policies/scheduling-policy.js';
import type { Sequence } from './sequence.js';
import type { SequenceQueues } from './sequence-queues.js';
import type { ScheduledSequence, StepPlan } from './step-plan.js';

/** What a step has when a sequence may propose: of those before it, itself, and those behind it. */
export interface StepSoFar {
  /** Tokens: the proposals of those before it included, one for each behind it. */
  readonly rows: number;
  readonly sequences: number;
}

/**
 * Proposes at most `most` next tokens of a sequence; it may always return none. The step computes
 * them after the last known token, and the decision about its rows accepts some of them.
 */
export type Propose = (id: SequenceId, most: number, step: StepSoFar) => readonly TokenId[];

const NO_TOKENS: readonly TokenId[] = [];

/** Proposes nothing. */
export const PROPOSE_NOTHING: Propose = () => NO_TOKENS;

/** A plan under construction: sequences get pieces of it while tokens and blocks last. */
export class StepBuilder {
  readonly #config: SchedulerConfig;
  readonly #cache: KvCacheManager;
  readonly #queues: SequenceQueues;
  readonly #policy: SchedulingPolicy;
  readonly #propose: Propose;
  readonly #scheduled: ScheduledSequence[] = [];
  readonly #planned: Sequence[] = [];
  readonly #blockCopies: BlockCopy[] = [];
  readonly #blockLoads: BlockLoad[] = [];
  #budget: number;
  /** Room in this step is kept for it until it has its piece. */
  #awaited: Deferred | null;
  #deferred: Deferred | null = null;

  /** @param awaited the one that the step before has deferred */
  constructor(
    config: SchedulerConfig,
    cache: KvCacheManager,
    queues: SequenceQueues,
    policy: SchedulingPolicy,
    propose: Propose,
    awaited: Deferred | null = null,
  ) {
    this.#config = config;
    this.#cache = cache;
    this.#queues = queues;
    this.#policy = policy;
    this.#propose = propose;
    this.#budget = config.maxNumBatchedTokens;
    this.#awaited = awaited;
  }

  /** Whether more tokens fit into the step. */
  get hasBudget(): boolean {
    return this.#budget > 0;
  }

  get isEmpty(): boolean {
    return this.#planned.length === 0;
  }

  /** The first sequence whose next piece did not fit; null when there was none. */
  get deferred(): Deferred | null {
    return this.#deferred;
  }

  /** The plan's sequences, in its order. */
  get planned(): readonly Sequence[] {
    return this.#planned;
  }

  /** @returns null for an empty plan */
  plan(): StepPlan | null {
    if (this.#scheduled.length === 0) return null;
    const numTokens = this.#config.maxNumBatchedTokens - this.#budget;
    const plan = { sequences: this.#scheduled, numTokens, blockCopies: this.#blockCopies };
    return this.#blockLoads.length > 0 ? { ...plan, blockLoads: this.#blockLoads } : plan;
  }

  /**
   * Whether the step has room for the next piece of a sequence: a content whose tokens are computed
   * together needs it for all of them. If it has not, the next step keeps that room for it.
   *
   * @param behind see `take`
   */
  hasRoomFor(sequence: Sequence, prefix: CachedPrefix | null, behind = 0): boolean {
    if (!sequence.spec.contents) return true;
    const { computed, end } = this.#nextPiece(sequence, prefix, behind);
    const tokens = end - computed;
    if (tokens <= this.#budget) return true;
    this.#deferred ??= { sequence, tokens };
    return false;
  }

  /**
   * Adds the next piece of a sequence, for which there is room, to the step. Before it fails,
   * proposals are dropped, and paused sequences lose their blocks.
   *
   * @param behind running sequences that come after it in this step: a token is left for each, so
   *   that none of them stops for a long prompt before it
   * @returns false, without any change, when blocks are missing
   */
  take(sequence: Sequence, prefix: CachedPrefix | null, behind = 0): boolean {
    const { tokens, blocks, spec } = sequence;
    const { computed, end } = this.#nextPiece(sequence, prefix, behind);
    const known = end - computed;
    const samples = end === tokens.length && spec.maxTokens > 0;
    let proposed = samples ? this.#proposalsFor(sequence, known, behind) : NO_TOKENS;
    const most = end + proposed.length;
    let copies = this.#cache.reserve(blocks, computed, most, prefix, proposed.length);
    if (!copies && proposed.length > 0) {
      proposed = NO_TOKENS;
      copies = this.#cache.reserve(blocks, computed, end, prefix);
    }
    while (!copies && this.#queues.reclaimFromPaused()) {
      copies = this.#cache.reserve(blocks, computed, end, prefix);
    }
    if (!copies) return false;
    const committed = blocks.numCommitted;
    this.#cache.commit(blocks, tokens, end);
    this.#policy.cached?.(blocks, committed);
    this.#policy.computing?.(sequence, computed, end);
    sequence.numComputed = computed;
    this.#budget -= known + proposed.length;
    if (this.#awaited?.sequence === sequence) this.#awaited = null;
    this.#planned.push(sequence);
    for (const copy of copies) this.#blockCopies.push(copy);
    if (prefix) for (const load of loadsOf(blocks, prefix)) this.#blockLoads.push(load);
    const tokenIds = tokens.slice(computed, end);
    for (const token of proposed) tokenIds.push(token);
    this.#scheduled.push({
      id: sequence.ids[0],
      tokenIds,
      numProposed: proposed.length,
      numComputed: computed,
      sequenceLength: tokens.length,
      blockTables: blocks.tables,
      ...(spec.contents && { contents: spec.contents }),
      adapter: spec.adapter?.contentHash ?? null,
      sampledFor: samples ? sequence.ids.slice() : [],
    });
    return true;
  }

  /** @returns where the piece begins and ends, proposals apart */
  #nextPiece(
    sequence: Sequence,
    prefix: CachedPrefix | null,
    behind: number,
  ): { readonly computed: number; readonly end: number } {
    const { tokens, blocks, spec } = sequence;
    // When all tokens are computed, no decision was possible after the last one, and its row is
    // needed again.
    const done = sequence.numComputed + (prefix?.numTokens ?? 0);
    const computed = this.#cache.firstToCompute(blocks, Math.min(done, tokens.length - 1));
    const { longPrefillThreshold } = this.#config;
    const budget = Math.max(1, this.#budget - behind - this.#keptFrom(sequence));
    const end = computed + chunkSize(tokens.length - computed, budget, longPrefillThreshold);
    return { computed, end: spec.contents ? wholeEnd(spec.contents, computed, end) : end };
  }

  /** Tokens of the budget that are another sequence's. */
  #keptFrom(sequence: Sequence): number {
    if (this.#awaited === null || this.#awaited.sequence === sequence) return 0;
    return this.#awaited.tokens;
  }

  /**
   * @param known tokens of the sequence in this step
   * @param behind sequences that come after it
   */
  #proposalsFor(sequence: Sequence, known: number, behind: number): readonly TokenId[] {
    const { spec, ids, tokens, numGenerated } = sequence;
    if (this.#propose === PROPOSE_NOTHING || ids.length > 1) return NO_TOKENS;
    // All rows of the step are computed for the sequence's present length.
    const untilSwitch = this.#config.switchLengths.find((limit) => limit >= tokens.length);
    const most = Math.min(
      this.#budget - known - behind - this.#keptFrom(sequence),
      // After the accepted tokens, one more is always chosen.
      spec.maxTokens - numGenerated - 1,
      (untilSwitch ?? Number.POSITIVE_INFINITY) - tokens.length,
    );
    if (most <= 0) return NO_TOKENS;
    const rows = this.#config.maxNumBatchedTokens - this.#budget + known + behind;
    const sequences = this.#planned.length + 1 + behind;
    return this.#propose(ids[0], most, { rows, sequences }).slice(0, most);
  }
}
