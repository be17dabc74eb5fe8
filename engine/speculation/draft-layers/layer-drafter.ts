import type { BlockId } from '../../../kvcache/ids.js';
import type { SequenceId } from '../../../scheduler/ids.js';
import type { ScheduledSequence, StepPlan } from '../../../scheduler/step-plan.js';
import type { HiddenReader, ModelEnds } from '../../core/model-ends.js';
import { LogitsQueryBuilder } from '../../decoding/logits-query-builder.js';
import { StepAnswer } from '../../decoding/step-answer.js';
import { Sampler } from '../../sampling/sampler.js';
import {
  type ComputedDrafter,
  type ComputingDrafter,
  DRAFTS_NOTHING,
  type DraftedSequence,
} from '../drafter.js';
import { askChoice } from '../drafting-sampler.js';
import { HiddenRows } from './hidden-rows.js';
import type { LayerRunner } from './layer-runner.js';
import { LayerSequence } from './layer-sequence.js';
import type { MissingPages } from './missing-pages.js';

export interface LayerDrafterOptions {
  /** Of the model that is drafted for. */
  readonly ends: ModelEnds;
  /** Stay their owner's. */
  readonly layers: LayerRunner;
  /** Told of what tiers load; the layers' attention asks it. */
  readonly missing: MissingPages;
  /** The model's cache group whose block tables the layers follow. */
  readonly group: number;
  readonly blockSize: number;
  /** Blocks of the model's cache; those of drafts come behind them, in the layers' pages alone. */
  readonly numBlocks: number;
  readonly numDraftBlocks: number;
  /** Width of the model's logits. */
  readonly vocabSize: number;
  /** Maximum length of a sequence. */
  readonly maxLength: number;
}

/** Where the last step has left a sequence. */
interface Place {
  readonly table: readonly BlockId[];
  /** Tokens whose rows were computed, rejected ones included. */
  readonly end: number;
}

/** A draft in the making. */
interface Drafting {
  readonly sequence: LayerSequence;
  readonly length: number;
  readonly table: readonly BlockId[];
  /** Slot of the next row. */
  slot: number;
  /** What that row is made of. */
  hidden: Float32Array;
}

/**
 * Drafts by layers on the model's hidden rows (Li et al. 2024, EAGLE), one for all places of a
 * draft or a specialist for each (Huang et al. 2025, POSS).
 *
 * The layers have pages of their own under the ids of the model's blocks, and write them in each
 * step for the tokens that it computes: what holds for a block of the model (prefixes, forks,
 * copies, preemption) holds for theirs. A draft writes blocks that no sequence has, behind a copy
 * of the last partial one, and they are free again when it is done.
 */
export class LayerDrafter implements ComputingDrafter, HiddenReader {
  readonly #options: LayerDrafterOptions;
  readonly #rows: HiddenRows;
  readonly #sampler = new Sampler();
  /** Memory for one row of logits. */
  readonly #edited: Float32Array;
  /** Those that have begun and not ended. */
  readonly #sequences = new Map<SequenceId, LayerSequence>();
  readonly #places = new Map<SequenceId, Place>();

  constructor(options: LayerDrafterOptions) {
    const { ends, blockSize, vocabSize } = options;
    this.#options = options;
    this.#rows = new HiddenRows(ends.hiddenSize, blockSize);
    this.#edited = new Float32Array(vocabSize);
    ends.watch(this);
  }

  begin(drafted: DraftedSequence): ComputedDrafter {
    const { vocabSize, maxLength } = this.#options;
    const { id, promptTokenIds, maxTokens, hasImages } = drafted;
    // The layers know no other embeddings than those of tokens.
    if (hasImages) return DRAFTS_NOTHING;
    const sequence = new LayerSequence({
      id,
      promptTokenIds,
      sampler: drafted.createSampler(vocabSize),
      maxTokens,
      maxLength,
      onEnd: () => {
        this.#sequences.delete(id);
        this.#places.delete(id);
      },
    });
    this.#sequences.set(id, sequence);
    return sequence;
  }

  /** Writes the layers' rows of a step. */
  async read(plan: StepPlan, hidden: Float32Array): Promise<void> {
    const { ends, layers, missing, group } = this.#options;
    for (const { from, to } of plan.blockCopies) {
      layers.pages.copy(from, to);
      this.#rows.copy(from, to);
      missing.copy(from, to);
    }
    for (const { block } of plan.blockLoads ?? []) {
      missing.add(block);
      this.#rows.forget(block);
    }
    const sequences = plan.sequences.map((sequence) => {
      const table = sequence.blockTables[group];
      this.#writes(sequence, table);
      return { ...sequence, blockTables: [table] };
    });
    const own = { sequences, numTokens: plan.numTokens, blockCopies: [] };
    const before = this.#rows.advance(own, hidden);
    const embeddings = await ends.embed(sequences.flatMap(({ tokenIds }) => tokenIds));
    await layers.store(own, { embeddings, hidden: before });
    this.#notePlaces(own);
  }

  async compute(lengths: ReadonlyMap<ComputedDrafter, number>): Promise<void> {
    const { layers } = this.#options;
    let drafting: Drafting[] = [];
    let numUsed = 0;
    for (const sequence of this.#sequences.values()) {
      const length = lengths.get(sequence) ?? 0;
      if (sequence.ready >= length) continue;
      sequence.cut();
      const found = this.#start(sequence, length, numUsed);
      if (!found) continue;
      drafting.push(found.drafting);
      numUsed += found.numBlocks;
    }
    for (let depth = 0; drafting.length > 0; depth++) {
      await this.#draft(Math.min(depth, layers.numStages - 1), drafting);
      drafting = drafting.filter(
        ({ sequence, length }) => !sequence.hasStopped && sequence.ready < length,
      );
    }
  }

  resetCache(): void {
    this.#rows.clear();
  }

  checkIntegrity(): void {
    for (const id of this.#places.keys()) {
      if (!this.#sequences.has(id)) throw new Error(`${id} has ended and has a place`);
    }
  }

  /** Notes the blocks that a piece of a sequence fills from their beginning. */
  #writes({ numComputed, tokenIds }: ScheduledSequence, table: readonly BlockId[]): void {
    const { blockSize, missing } = this.#options;
    const end = numComputed + tokenIds.length;
    for (let i = Math.ceil(numComputed / blockSize); i * blockSize < end; i++) {
      missing.delete(table[i]);
    }
  }

  #notePlaces({ sequences }: StepPlan): void {
    for (const { id, numComputed, tokenIds, blockTables, sampledFor } of sequences) {
      const place = { table: blockTables[0].slice(), end: numComputed + tokenIds.length };
      for (const own of [id, ...sampledFor]) {
        if (this.#sequences.has(own)) this.#places.set(own, place);
      }
    }
  }

  /**
   * @param numUsed draft blocks that others have
   * @returns null where a row or a block is missing
   */
  #start(
    sequence: LayerSequence,
    length: number,
    numUsed: number,
  ): { readonly drafting: Drafting; readonly numBlocks: number } | null {
    const { layers, blockSize, numBlocks: firstBlock, numDraftBlocks } = this.#options;
    const slot = sequence.numKnown - 1;
    const place = this.#places.get(sequence.id);
    if (!place || place.end < slot) return null;
    const hidden = this.#rows.get(place.table, slot - 1);
    const numFull = Math.floor(slot / blockSize);
    const numBlocks = Math.ceil((slot + length) / blockSize) - numFull;
    if (!hidden || numUsed + numBlocks > numDraftBlocks) return null;
    const first = firstBlock + numUsed;
    const own = Array.from({ length: numBlocks }, (_, i) => (first + i) as BlockId);
    if (slot % blockSize > 0) {
      layers.pages.copy(place.table[numFull], first);
      this.#options.missing.copy(place.table[numFull], own[0]);
    }
    const table = [...place.table.slice(0, numFull), ...own];
    return { drafting: { sequence, length, table, slot, hidden }, numBlocks };
  }

  /** Drafts one token of each. */
  async #draft(stage: number, drafting: readonly Drafting[]): Promise<void> {
    const { ends, layers, vocabSize } = this.#options;
    const { hiddenSize } = ends;
    const hidden = new Float32Array(drafting.length * hiddenSize);
    for (const [i, draft] of drafting.entries()) hidden.set(draft.hidden, i * hiddenSize);
    const last = drafting.map(({ sequence }) => sequence.last);
    const plan = {
      sequences: drafting.map(scheduled),
      numTokens: drafting.length,
      blockCopies: [],
    };
    const embeddings = await ends.embed(last);
    const made = await layers.compute(stage, plan, { embeddings, hidden });
    const builder = new LogitsQueryBuilder(vocabSize);
    const asked = drafting.map(({ sequence }, i) => askChoice(builder, sequence.next, i));
    const query = builder.build();
    const answer = new StepAnswer(query, await ends.rank(made, query), vocabSize);
    for (const [i, draft] of drafting.entries()) {
      const { sequence } = draft;
      const logits = answer.logits(asked[i].row, asked[i].sum);
      sequence.push(sequence.next.choose(this.#sampler, logits, this.#edited));
      draft.hidden = made.subarray(i * hiddenSize, (i + 1) * hiddenSize);
      draft.slot += 1;
    }
  }
}

/** The next row of a draft, as a step of its own. */
function scheduled({ sequence, slot, table }: Drafting): ScheduledSequence {
  return {
    id: sequence.id,
    tokenIds: [sequence.last],
    numProposed: 0,
    numComputed: slot,
    sequenceLength: slot + 1,
    blockTables: [table],
    adapter: null,
    sampledFor: [sequence.id],
  };
}
