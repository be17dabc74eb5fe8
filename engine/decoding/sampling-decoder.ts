import type { SequenceId, TokenId } from '../../scheduler/ids.js';
import type { Propose } from '../../scheduler/step-builder.js';
import type { ScheduledSequence, SequenceUpdate } from '../../scheduler/step-plan.js';
import type { PredictedTokens, TokenLogprobs } from '../protocol/outputs.js';
import type { SpeculationStats } from '../protocol/reports.js';
import type { EngineRequest } from '../protocol/request.js';
import { joinNeeds } from '../sampling/row-needs.js';
import { Sampler } from '../sampling/sampler.js';
import type { RowLogits, SequenceSampler } from '../sampling/sequence-sampler.js';
import type { TokenConstraint } from '../sampling/token-constraint.js';
import type { Decision, Decoder, SampledSequence } from './decoder.js';
import type { LogitsQueryBuilder } from './logits-query-builder.js';
import { NO_PROPOSER, type Proposer } from './proposer.js';
import type { StepAnswer } from './step-answer.js';
import { chosenLogprobs, tokenLogprobs } from './token-logprobs.js';

/** What was asked for one row. */
interface AskedRow {
  /** The row's number among those with logits. */
  readonly row: number;
  /** Number of the sum at the sampling temperature; null when there is none. */
  readonly sum: number | null;
  /** Number of the sum at temperature 1; null when no log-probabilities are asked for. */
  readonly plainSum: number | null;
}

/**
 * The last rows of one sequence of the plan: those of its last known token and of each proposal
 * after it.
 */
interface AskedSequence {
  readonly sampledFor: readonly SequenceId[];
  readonly sampled: readonly SampledSequence[];
  readonly proposals: readonly TokenId[];
  readonly rows: readonly AskedRow[];
}

/** A sequence that waits for its constraint's mask. */
interface HeldSequence {
  readonly sampler: SequenceSampler;
  readonly ready: Promise<void>;
}

/**
 * Milliseconds that one step may wait for the masks of all its sequences together. A mask usually
 * arrives before the model's answer. A sequence whose mask is late is left out of steps until it
 * arrives, so that the others do not wait for it.
 */
export const MASK_PATIENCE_MS = 10;

export interface SamplingDecoderOptions {
  readonly vocabSize: number;
  /** Absent for no proposals. */
  readonly proposer?: Proposer;
  /** Monotonic, milliseconds. */
  readonly now: () => number;
}

/**
 * Samples one token after another. A proposed token is accepted if it equals the token chosen from
 * the row before it. As seed and position determine the random number, the text is the same with
 * and without proposals, at any temperature, with and without a constraint.
 */
export class SamplingDecoder implements Decoder {
  readonly #proposer: Proposer;
  readonly #sampler = new Sampler();
  /** Memory for one row of logits. */
  readonly #edited: Float32Array;
  readonly #now: () => number;
  readonly #held = new Map<SequenceId, HeldSequence>();
  #asked: AskedSequence[] = [];
  /** Milliseconds that the present step may still wait. */
  #patience = 0;

  constructor({ vocabSize, proposer = NO_PROPOSER, now }: SamplingDecoderOptions) {
    this.#edited = new Float32Array(vocabSize);
    this.#proposer = proposer;
    this.#now = now;
  }

  get propose(): Propose {
    return this.#proposer.propose;
  }

  get speculation(): SpeculationStats | null {
    return this.#proposer.stats;
  }

  begin(id: SequenceId, request: EngineRequest, constraint: TokenConstraint | null): void {
    this.#proposer.begin(id, request, constraint);
  }

  held(): ReadonlySet<SequenceId> {
    if (this.#held.size === 0) return NONE;
    for (const [id, { sampler }] of this.#held) if (sampler.isReady()) this.#held.delete(id);
    return new Set(this.#held.keys());
  }

  whenReady(): Promise<void> {
    return Promise.race([...this.#held.values()].map(({ ready }) => ready));
  }

  forget(id: SequenceId): void {
    this.#held.delete(id);
    this.#proposer.end(id);
  }

  abandon(): null {
    return null;
  }

  ask(
    builder: LogitsQueryBuilder,
    sequence: ScheduledSequence,
    firstRow: number,
    sampled: readonly SampledSequence[],
  ): void {
    const { sampledFor, tokenIds, numProposed } = sequence;
    if (sampledFor.length === 0) return;
    const known = tokenIds.length - numProposed;
    const rows: AskedRow[] = [];
    for (let ahead = 0; ahead <= numProposed; ahead++) {
      rows.push(askRow(builder, sampled, firstRow + known - 1 + ahead, ahead));
    }
    this.#asked.push({ sampledFor, sampled, proposals: tokenIds.slice(known), rows });
  }

  decide(answer: StepAnswer): Decision {
    const updates: SequenceUpdate[] = [];
    const logprobs = new Map<SequenceId, readonly TokenLogprobs[]>();
    const predicted = new Map<SequenceId, PredictedTokens>();
    this.#patience = MASK_PATIENCE_MS;
    for (const asked of this.#asked) {
      const { sampledFor, sampled } = asked;
      for (let i = 0; i < sampledFor.length; i++) {
        const id = sampledFor[i];
        const { sampler, numLogprobs } = sampled[i];
        const scored: TokenLogprobs[] | null = numLogprobs === null ? null : [];
        const tokenIds = this.#tokensOf(asked, sampled[i], answer, scored);
        updates.push({ id, tokenIds });
        if (tokenIds.length === 0) this.#held.set(id, { sampler, ready: sampler.whenReady() });
        if (scored !== null) logprobs.set(id, scored);
        const prediction = this.#proposer.decided(id, asked.proposals, tokenIds);
        if (prediction !== null) predicted.set(id, prediction);
      }
    }
    this.#asked = [];
    this.#proposer.endStep();
    return { updates, logprobs, predicted };
  }

  /** @returns an empty list when the first mask is late */
  #tokensOf(
    { rows, proposals }: AskedSequence,
    sequence: SampledSequence,
    answer: StepAnswer,
    scored: TokenLogprobs[] | null,
  ): TokenId[] {
    const { sampler } = sequence;
    const tokenIds: TokenId[] = [];
    for (const { row, sum, plainSum } of rows) {
      if (!this.#awaits(sampler)) break;
      const logits = answer.logits(row, sum);
      const token = sampler.choose(this.#sampler, logits, this.#edited);
      sampler.accept(token);
      tokenIds.push(token);
      if (plainSum !== null && scored !== null) {
        scored.push(scoresOf(token, logits, answer.softmaxSum(plainSum), sequence));
      }
      if (token !== proposals[tokenIds.length - 1] || sampler.isStop(token)) break;
    }
    return tokenIds;
  }

  /** Waits for a mask for as long as this step may. @returns whether it has arrived */
  #awaits(sampler: SequenceSampler): boolean {
    if (sampler.isReady()) return true;
    if (this.#patience <= 0) return false;
    const start = this.#now();
    const isReady = sampler.isReady(this.#patience);
    this.#patience -= this.#now() - start;
    return isReady;
  }
}

const NONE: ReadonlySet<SequenceId> = new Set();

/** @param ahead number of tokens that are chosen before this row's */
function askRow(
  builder: LogitsQueryBuilder,
  sampled: readonly SampledSequence[],
  lastRow: number,
  ahead: number,
): AskedRow {
  const { sampler, numLogprobs, logprobTokenIds } = sampled[0];
  const { temperature } = sampler.params;
  const needs =
    sampled.length === 1
      ? sampler.needs(ahead)
      : joinNeeds(sampled.map((s) => s.sampler.needs(ahead)));
  const row = builder.addLogits(lastRow, Math.max(needs.topK, numLogprobs ?? 0));
  if (needs.fullRow || logprobTokenIds !== null) builder.addFullRow(row);
  const sum = needs.unless ? builder.addSoftmaxSum(row, temperature, needs.unless) : null;
  if (numLogprobs === null) return { row, sum, plainSum: null };
  const isPlain = sum !== null && temperature === 1;
  return { row, sum, plainSum: isPlain ? sum : builder.addSoftmaxSum(row, 1) };
}

/** @param total see `tokenLogprobs` */
function scoresOf(
  token: TokenId,
  logits: RowLogits,
  total: number,
  { numLogprobs, logprobTokenIds }: SampledSequence,
): TokenLogprobs {
  const { candidates, row } = logits;
  if (logprobTokenIds === null) {
    const count = Math.min(numLogprobs ?? 0, candidates.count);
    return tokenLogprobs(logitOf(token, logits), candidates, total, count);
  }
  if (!row) throw new Error('scores of certain tokens need their whole row of logits');
  return chosenLogprobs(token, row, candidates.logits[0], total, logprobTokenIds);
}

/** The model's own logit of a chosen token, which may have any rank, because edits can raise it. */
function logitOf(token: number, { candidates, row }: RowLogits): number {
  if (row) return row[token];
  return candidates.logits[candidates.ids.indexOf(token)];
}
