import { rootHash } from '../../../kvcache/block-hash.js';
import type { BlockCopy } from '../../../kvcache/kv-cache-config.js';
import type { KvCacheManager } from '../../../kvcache/kv-cache-manager.js';
import type { SequenceId } from '../../../scheduler/ids.js';
import type { ScheduledSequence } from '../../../scheduler/step-plan.js';
import type { ModelRunner } from '../../core/model-runner.js';
import { LogitsQueryBuilder } from '../../decoding/logits-query-builder.js';
import { StepAnswer } from '../../decoding/step-answer.js';
import { Sampler } from '../../sampling/sampler.js';
import {
  type ComputedDrafter,
  type ComputingDrafter,
  DRAFTS_NOTHING,
  type DraftedSequence,
} from '../drafter.js';
import { type AskedChoice, askChoice } from '../drafting-sampler.js';
import { DraftSequence } from './draft-sequence.js';

export interface ModelDrafterOptions {
  /** Of the draft model; stays its owner's. */
  readonly runner: ModelRunner;
  /** Of the draft model, and of nothing else. */
  readonly cache: KvCacheManager;
  /** Width of the draft model's logits. */
  readonly vocabSize: number;
  /** That of the model that is drafted for: tokens from there on are no drafts. */
  readonly targetVocabSize: number;
  /** Maximum length of a sequence that the draft model takes. */
  readonly maxLength: number;
  /** Maximum number of tokens of one run. */
  readonly maxTokens: number;
}

/** Of all its blocks: it computes the same for requests with an adapter. */
const SCOPE = { modelFingerprint: 'draft', adapter: null, lengthClass: 0 };

/** A piece of one sequence in a run of the draft model. */
interface Piece {
  readonly sequence: DraftSequence;
  /** Behind its last token. */
  readonly end: number;
  /** Where the next token is chosen; null in the middle of a prompt. */
  readonly asked: AskedChoice | null;
}

/**
 * Drafts by a smaller model with the same tokens (Leviathan et al. 2023, section 2). It samples as
 * the sequence does and draws the same random numbers, so that a draft is right as often as the two
 * models' distributions allow, at any temperature.
 *
 * One run computes one token of each drafting sequence. Prompts are computed when the first draft
 * is wanted, in pieces of several steps where they are long, and found again by the draft model's
 * own prefix cache. Only tokens of the text are hashed there, no drafts.
 *
 * Nothing waits for a draft: where blocks are missing, a sequence has none in this step.
 */
export class ModelDrafter implements ComputingDrafter {
  readonly #options: ModelDrafterOptions;
  readonly #sampler = new Sampler();
  /** Memory for one row of logits. */
  readonly #edited: Float32Array;
  /** Those that have begun and not ended. */
  readonly #sequences = new Set<DraftSequence>();
  #begun = 0;

  constructor(options: ModelDrafterOptions) {
    this.#options = options;
    this.#edited = new Float32Array(options.vocabSize);
  }

  begin(drafted: DraftedSequence): ComputedDrafter {
    const { cache, vocabSize, maxLength } = this.#options;
    // The draft model sees no images: what it would say of their tokens is worth nothing.
    if (drafted.hasImages) return DRAFTS_NOTHING;
    const sequence = new DraftSequence({
      id: `draft-${this.#begun++}` as SequenceId,
      promptTokenIds: drafted.promptTokenIds,
      sampler: drafted.createSampler(vocabSize),
      blocks: cache.newSequence(rootHash({ ...SCOPE, cacheSalt: drafted.cacheSalt })),
      maxTokens: drafted.maxTokens,
      maxLength,
      vocabSize,
      onEnd: () => {
        this.#release(sequence);
        this.#sequences.delete(sequence);
      },
    });
    this.#sequences.add(sequence);
    return sequence;
  }

  async compute(lengths: ReadonlyMap<ComputedDrafter, number>): Promise<void> {
    const wanted: DraftSequence[] = [];
    for (const sequence of this.#sequences) {
      if (lengths.has(sequence)) wanted.push(sequence);
      else this.#release(sequence);
    }
    for (const sequence of wanted) this.#settle(sequence);
    const isShort = (sequence: DraftSequence): boolean =>
      !sequence.hasStopped && sequence.ready < (lengths.get(sequence) ?? 0);
    let drafting = wanted.filter(isShort);
    while (drafting.length > 0) drafting = (await this.#run(drafting)).filter(isShort);
  }

  resetCache(): void {
    this.#options.cache.resetPrefixCache();
  }

  checkIntegrity(): void {
    this.#options.cache.checkIntegrity([...this.#sequences].map(({ blocks }) => blocks));
    for (const { numComputed, tokens, id } of this.#sequences) {
      if (numComputed > tokens.length) throw new Error(`${id} has more in the cache than tokens`);
    }
  }

  /** Gives its blocks back; the full ones stay cached. */
  #release(sequence: DraftSequence): void {
    if (sequence.blocks.isEmpty) return;
    this.#options.cache.release(sequence.blocks);
    sequence.computed(0);
  }

  /** Forgets what was computed behind the text, so that windows move on with it alone. */
  #settle(sequence: DraftSequence): void {
    if (sequence.blocks.isEmpty) return;
    const numComputed = Math.min(sequence.numComputed, sequence.numKnown);
    sequence.computed(this.#options.cache.truncate(sequence.blocks, numComputed));
  }

  /**
   * Drafts one token of each, or computes a piece of what it is behind.
   *
   * @returns those that have one more
   */
  async #run(sequences: readonly DraftSequence[]): Promise<DraftSequence[]> {
    const { runner, maxTokens, vocabSize } = this.#options;
    const builder = new LogitsQueryBuilder(vocabSize);
    const scheduled: ScheduledSequence[] = [];
    const blockCopies: BlockCopy[] = [];
    const pieces: Piece[] = [];
    let numTokens = 0;
    for (const [i, sequence] of sequences.entries()) {
      // A token is left for each one behind it.
      const budget = maxTokens - numTokens - (sequences.length - 1 - i);
      const piece = this.#reserve(sequence, budget, blockCopies);
      if (!piece) continue;
      numTokens += piece.tokenIds.length;
      const end = piece.numComputed + piece.tokenIds.length;
      const isWhole = end === sequence.tokens.length;
      const asked = isWhole ? askChoice(builder, sequence.next, numTokens - 1) : null;
      scheduled.push({ ...piece, sampledFor: isWhole ? [sequence.id] : [] });
      pieces.push({ sequence, end, asked });
    }
    if (scheduled.length === 0) return [];
    const query = builder.build();
    const plan = { sequences: scheduled, numTokens, blockCopies };
    const answer = new StepAnswer(query, await runner.execute(plan, query), vocabSize);
    return pieces.flatMap(({ sequence, end, asked }) => {
      sequence.computed(end);
      if (!asked) return [];
      const logits = answer.logits(asked.row, asked.sum);
      const token = sequence.next.choose(this.#sampler, logits, this.#edited);
      if (token >= this.#options.targetVocabSize) return [];
      sequence.push(token);
      return [sequence];
    });
  }

  /**
   * @param budget most tokens of the piece
   * @param copies gets those that must precede the run
   * @returns null when there is no room for it
   */
  #reserve(
    sequence: DraftSequence,
    budget: number,
    copies: BlockCopy[],
  ): Omit<ScheduledSequence, 'sampledFor'> | null {
    const { cache } = this.#options;
    const { id, blocks, tokens, numKnown } = sequence;
    if (budget <= 0) return null;
    const prefix = blocks.isEmpty
      ? cache.findCachedPrefix(blocks, tokens.slice(0, numKnown))
      : null;
    const done = sequence.numComputed + (prefix?.numTokens ?? 0);
    // When all is computed, the row of the last token is needed again.
    const first = cache.firstToCompute(blocks, Math.min(done, tokens.length - 1));
    const end = Math.min(tokens.length, first + budget);
    const needed = cache.reserve(blocks, first, end, prefix);
    if (!needed) return null;
    cache.commit(blocks, tokens, Math.min(end, numKnown));
    copies.push(...needed);
    return {
      id,
      tokenIds: tokens.slice(first, end),
      numProposed: 0,
      numComputed: first,
      sequenceLength: tokens.length,
      blockTables: blocks.tables,
      adapter: null,
    };
  }
}
