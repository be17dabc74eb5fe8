import type { RequestId, TokenId } from '../../scheduler/ids.js';
import type { Propose } from '../../scheduler/scheduler.js';
import type { ScheduledSequence, SequenceUpdate } from '../../scheduler/step-plan.js';
import type { TokenLogprobs } from '../protocol/outputs.js';
import { joinNeeds } from '../sampling/row-needs.js';
import type { Sampler } from '../sampling/sampler.js';
import type { RowLogits, SequenceSampler } from '../sampling/sequence-sampler.js';
import type { Decision, Decoder } from './decoder.js';
import type { RowQueryBuilder } from './row-query-builder.js';
import type { StepAnswer } from './step-answer.js';
import { tokenLogprobs } from './token-logprobs.js';

/** What decides about one sequence. */
export interface SampledSequence {
  readonly sampler: SequenceSampler;
  /** How many of the most likely tokens come with each chosen one; null: no log-probabilities. */
  readonly numLogprobs: number | null;
}

/** What was asked of one row. */
interface AskedRow {
  /** Among the rows with logits. */
  readonly row: number;
  /** Number of the sum at the sampling temperature; null without. */
  readonly sum: number | null;
  /** Number of the sum at temperature 1; null when no log-probabilities are wanted. */
  readonly plainSum: number | null;
}

/** The last rows of one sequence of the plan: of its last known token, and of each proposal behind it. */
interface AskedSequence {
  readonly sampledFor: readonly RequestId[];
  readonly proposals: readonly TokenId[];
  readonly rows: readonly AskedRow[];
}

/**
 * Samples one token after another. A proposal is accepted while it equals what is chosen from the row before it: with
 * a random number fixed by seed and place, the text is the same with and without proposals, at any temperature.
 */
export class SamplingDecoder implements Decoder {
  readonly propose: Propose;
  readonly #sequences: (id: RequestId) => SampledSequence;
  readonly #sampler: Sampler;
  /** Memory for one row of logits. */
  readonly #edited: Float32Array;
  #asked: AskedSequence[] = [];

  /**
   * @param sequences finds what decides about a live sequence
   * @param propose absent: nothing is guessed
   */
  constructor(
    sequences: (id: RequestId) => SampledSequence,
    sampler: Sampler,
    vocabSize: number,
    propose: Propose = () => [],
  ) {
    this.#sequences = sequences;
    this.#sampler = sampler;
    this.#edited = new Float32Array(vocabSize);
    // A constraint knows the tokens that it was told of, and none after them.
    this.propose = (id, most) => (sequences(id).sampler.isConstrained ? [] : propose(id, most));
  }

  ask(builder: RowQueryBuilder, sequence: ScheduledSequence, firstRow: number): void {
    const { sampledFor, tokenIds, numProposed } = sequence;
    if (sampledFor.length === 0) return;
    const known = tokenIds.length - numProposed;
    const rows: AskedRow[] = [];
    for (let ahead = 0; ahead <= numProposed; ahead++) {
      rows.push(this.#askRow(builder, sampledFor, firstRow + known - 1 + ahead, ahead));
    }
    this.#asked.push({ sampledFor, proposals: tokenIds.slice(known), rows });
  }

  decide(answer: StepAnswer): Decision {
    const updates: SequenceUpdate[] = [];
    const logprobs = new Map<RequestId, readonly TokenLogprobs[]>();
    for (const { sampledFor, proposals, rows } of this.#asked) {
      for (const id of sampledFor) {
        const tokenIds: TokenId[] = [];
        const scored: TokenLogprobs[] = [];
        const { sampler, numLogprobs } = this.#sequences(id);
        for (const { row, sum, plainSum } of rows) {
          const logits = answer.logits(row, sum);
          const token = sampler.choose(this.#sampler, logits, this.#edited);
          sampler.accept(token);
          tokenIds.push(token);
          if (plainSum !== null) {
            const count = Math.min(numLogprobs ?? 0, logits.candidates.count);
            const total = answer.total(plainSum);
            scored.push(tokenLogprobs(logitOf(token, logits), logits.candidates, total, count));
          }
          if (token !== proposals[tokenIds.length - 1] || sampler.isStop(token)) break;
        }
        updates.push({ id, tokenIds });
        if (numLogprobs !== null) logprobs.set(id, scored);
      }
    }
    this.#asked = [];
    return { updates, logprobs };
  }

  /** @param ahead tokens that are chosen before this row's */
  #askRow(
    builder: RowQueryBuilder,
    sampledFor: readonly RequestId[],
    lastRow: number,
    ahead: number,
  ): AskedRow {
    const { sampler, numLogprobs } = this.#sequences(sampledFor[0]);
    const { temperature } = sampler.params;
    const needs = joinNeeds(sampledFor.map((id) => this.#sequences(id).sampler.needs(ahead)));
    const row = builder.addLogits(lastRow, Math.max(needs.ranked, numLogprobs ?? 0));
    if (needs.whole) builder.addWhole(row);
    const sum = needs.unless ? builder.addSum(row, temperature, needs.unless) : null;
    const plain = (): number => (sum !== null && temperature === 1 ? sum : builder.addSum(row, 1));
    return { row, sum, plainSum: numLogprobs === null ? null : plain() };
  }
}

/** The model's own logit of a token that was chosen: edits may have lifted it from anywhere in the row. */
function logitOf(token: number, { candidates, row }: RowLogits): number {
  if (row) return row[token];
  return candidates.logits[candidates.ids.indexOf(token)];
}
