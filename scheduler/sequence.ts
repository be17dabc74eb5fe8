import type { ContentKey } from '../kvcache/block-hash.js';
import { type BlockId, NO_BLOCK } from '../kvcache/ids.js';
import type { ReuseHint, SequenceBlocks } from '../kvcache/sequence-blocks.js';
import type { SequenceId, TokenId } from './ids.js';
import type { Ranked } from './policies/rank.js';
import { RepetitionDetector, type RepetitionLimit } from './repetition.js';

/** An adapter: its name, and the hash of its content, which decides who shares blocks. */
export interface RequestAdapter {
  readonly name: string;
  readonly contentHash: string;
}

/** Content that placeholder tokens of a prompt stand for, such as an image. */
export interface PromptContent extends ContentKey {
  /**
   * Whether its tokens attend to each other in both directions, so that one step must compute all
   * of them, or all that are not cached. Absent: no.
   */
  readonly isBidirectional?: boolean;
}

/** A request: one prompt, and one or more sequences that continue it. */
export interface RequestSpec {
  /** One id for each sequence; at least one. The prompt is computed once for all of them. */
  readonly ids: readonly SequenceId[];
  readonly promptTokenIds: readonly TokenId[];
  /**
   * Maximum number of tokens of each sequence; with 0, the request ends as soon as its prompt is
   * computed.
   */
  readonly maxTokens: number;
  readonly stopTokenIds: readonly TokenId[];
  /** When a sequence that repeats itself ends; absent: as any other. */
  readonly repetition?: RepetitionLimit;
  /** Smaller numbers run earlier; used only by the policy `priority`. */
  readonly priority: number;
  /** Whose request it is: the policy `fair` gives all tenants the same share. Absent: one's. */
  readonly tenant?: string;
  /** What asks for the output, such as an endpoint: tells outputs of different lengths apart. */
  readonly route?: string;
  /** Milliseconds on the scheduler's clock. */
  readonly arrivalTime: number;
  /** Only requests with the same salt share cached blocks. */
  readonly cacheSalt: string | null;
  /** What it says about who will ask for its prefix again; absent: nothing. */
  readonly reuse?: ReuseHint;
  /** The adapter that computes K and V; null or absent for the model alone. */
  readonly adapter?: RequestAdapter | null;
  /** Contents that placeholder tokens of the prompt stand for, in the order of their tokens. */
  readonly contents?: readonly PromptContent[];
  /**
   * When the request ends, the whole blocks of its prompt stay cached under this name, however many
   * blocks are needed for other things; absent: they do not. For requests of 0 tokens, which end
   * behind the last whole block: others have moved on from what layers with a window or a state
   * keep of the prompt.
   */
  readonly pin?: string;
  /**
   * Number of sequences that it may fork into at one time, all of which must be able to run
   * together; absent: it does not fork.
   */
  readonly beams?: number;
  /**
   * Whether the rows of all prompt tokens are read, so that each must be computed once, even if
   * cached.
   */
  readonly computesWholePrompt: boolean;
}

/** Progress of a sequence, as a copy in plain data. */
export interface SequenceProgress {
  /** The sequences that it stands for: more than one while their common prompt is computed. */
  readonly ids: readonly SequenceId[];
  /** `loading`: waits for blocks that come from a tier. */
  readonly state: 'running' | 'paused' | 'loading' | 'waiting';
  readonly promptTokens: number;
  /** Prompt and generated tokens whose K and V are in the cache. */
  readonly computed: number;
  readonly generated: number;
  readonly maxTokens: number;
  /** Prompt tokens found in the prefix cache; null before it was first scheduled. */
  readonly cachedTokens: number | null;
  /** On the scheduler's clock. */
  readonly arrivalTime: number;
  /** Its blocks of all groups. */
  readonly blocks: readonly BlockId[];
}

/**
 * The scheduler's unit: a prompt and what was generated after it. Only the scheduler changes it.
 */
export class Sequence implements Ranked {
  readonly spec: RequestSpec;
  /**
   * The sequences that this one stands for: all of its request while their common prompt is
   * computed, itself alone after they have forked.
   */
  readonly ids: SequenceId[];
  /** Prompt and generated tokens; K and V of the first `numComputed` are in the cache. */
  readonly tokens: TokenId[];
  /** Replaced by another object when the sequence passes a switch length. */
  blocks: SequenceBlocks;
  /** Only the scheduling policy sets it; not a number before the first time. */
  rank = Number.NaN;
  readonly order: number;
  numComputed = 0;
  /** Prompt tokens found in the prefix cache when it was first scheduled; null before that. */
  cachedTokens: number | null = null;
  /** Of the cached tokens, those that a tier had. */
  tierTokens = 0;
  /** Whether tiers have been asked for its prefix since it began to wait. */
  hasFetched = false;
  #repetition: RepetitionDetector | null = null;

  constructor(
    spec: RequestSpec,
    ids: readonly SequenceId[],
    tokens: readonly TokenId[],
    order: number,
    blocks: SequenceBlocks,
  ) {
    this.spec = spec;
    this.ids = [...ids];
    this.tokens = [...tokens];
    this.order = order;
    this.blocks = blocks;
  }

  get numGenerated(): number {
    return this.tokens.length - this.spec.promptTokenIds.length;
  }

  /** Whether its output ends with a repetition that ends it. Call it once for each new token. */
  get repeats(): boolean {
    const { repetition, promptTokenIds } = this.spec;
    if (repetition === undefined) return false;
    this.#repetition ??= new RepetitionDetector(repetition, promptTokenIds.length);
    return this.#repetition.repeats(this.tokens);
  }

  progress(state: SequenceProgress['state']): SequenceProgress {
    const { spec } = this;
    return {
      ids: [...this.ids],
      state,
      promptTokens: spec.promptTokenIds.length,
      computed: this.numComputed,
      generated: this.numGenerated,
      maxTokens: spec.maxTokens,
      cachedTokens: this.cachedTokens,
      arrivalTime: spec.arrivalTime,
      blocks: this.blocks.tables.flat().filter((block) => block !== NO_BLOCK),
    };
  }
}
