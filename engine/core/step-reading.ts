import type { RequestId } from '../../scheduler/ids.js';
import type { SampledToken, ScheduledSequence, StepPlan } from '../../scheduler/step-plan.js';
import type { Candidates } from '../sampling/candidates.js';
import { joinNeeds } from '../sampling/row-needs.js';
import type { Sampler } from '../sampling/sampler.js';
import type { RowLogits, SequenceSampler } from '../sampling/sequence-sampler.js';
import type { RowAnswer, RowQuery } from './model-runner.js';
import type { PromptRows } from './prompt-rows.js';
import type { CompletionOutput, EngineRequest } from './protocol.js';
import { RowQueryBuilder } from './row-query-builder.js';
import { tokenLogprobs } from './token-logprobs.js';

/** A completion in flight. */
export interface Completion {
  readonly request: EngineRequest;
  readonly sampler: SequenceSampler;
  /** Shared by the completions of a request; null when nothing but the next token is wanted of it. */
  readonly promptRows: PromptRows | null;
}

/** What goes with an output besides its tokens. */
export type OutputExtras = Pick<CompletionOutput, 'logprobs' | 'promptLogprobs' | 'embedding'>;

/** What one sequence of a plan has asked of its last row. */
interface SampledRow {
  readonly samplers: readonly RequestId[];
  /** Among the rows with logits. */
  readonly row: number;
  /** Number of the sum at the sampling temperature; null without. */
  readonly sum: number | null;
  /** Number of the sum at temperature 1; null when no log-probabilities are wanted. */
  readonly plainSum: number | null;
}

/** What one sequence has asked of its other rows: `count` of each from the first one's number on. */
interface PromptShare {
  readonly rows: PromptRows;
  readonly firstRow: number;
  readonly firstSum: number;
  readonly numLogits: number;
  readonly firstHidden: number;
  readonly numHidden: number;
}

/**
 * One step, read: asks for what its completions need of the rows, then makes tokens, log-probabilities and embeddings of the answer.
 */
export class StepReading {
  readonly query: RowQuery;
  readonly #completions: ReadonlyMap<RequestId, Completion>;
  readonly #vocabSize: number;
  readonly #sampled: SampledRow[] = [];
  readonly #prompts: PromptShare[] = [];

  constructor(plan: StepPlan, completions: ReadonlyMap<RequestId, Completion>, vocabSize: number) {
    this.#completions = completions;
    this.#vocabSize = vocabSize;
    const builder = new RowQueryBuilder(vocabSize);
    let start = 0;
    for (const sequence of plan.sequences) {
      this.#askPrompt(builder, sequence, start);
      this.#askSample(builder, sequence, start + sequence.tokenIds.length - 1);
      start += sequence.tokenIds.length;
    }
    this.query = builder.build();
  }

  /** Takes log-probabilities and hidden states of prompts in; their requests keep them until their first output. */
  readPrompts(answer: RowAnswer): void {
    for (const share of this.#prompts) {
      const { rows, numLogits, firstHidden, numHidden } = share;
      for (let i = 0; i < numLogits; i++) {
        const row = share.firstRow + i;
        const total = answer.totals[share.firstSum + i];
        const candidates = this.#candidates(answer, row);
        const count = Math.min(rows.numLogprobs, candidates.count);
        rows.addLogprobs(tokenLogprobs(answer.targetLogits[row], candidates, total, count));
      }
      if (numHidden === 0) continue;
      const size = answer.hidden.length / this.query.hiddenRows.length;
      const from = firstHidden * size;
      rows.addHidden(answer.hidden.subarray(from, from + numHidden * size), numHidden);
    }
  }

  /**
   * Chooses a token for each sampler of the plan.
   *
   * @param edited memory for one row of logits
   * @param extras gets the log-probabilities of those that want them
   */
  sample(
    answer: RowAnswer,
    sampler: Sampler,
    edited: Float32Array,
    extras: Map<RequestId, OutputExtras>,
  ): SampledToken[] {
    const whole = new Map<number, Float32Array>();
    answer.wholeRows.forEach((row, index) => {
      const from = index * this.#vocabSize;
      whole.set(row, answer.wholeLogits.subarray(from, from + this.#vocabSize));
    });
    const sampled: SampledToken[] = [];
    for (const { samplers, row, sum, plainSum } of this.#sampled) {
      const logits: RowLogits = {
        candidates: this.#candidates(answer, row),
        total: sum === null ? null : answer.totals[sum],
        row: whole.get(row) ?? null,
      };
      for (const requestId of samplers) {
        const { request, sampler: sequence } = this.#completion(requestId);
        const tokenId = sequence.next(sampler, logits, edited);
        sampled.push({ requestId, tokenId });
        if (plainSum === null) continue;
        const { candidates } = logits;
        const count = Math.min(request.logprobs ?? 0, candidates.count);
        const total = answer.totals[plainSum];
        const of = tokenLogprobs(logitOf(tokenId, logits), candidates, total, count);
        extras.set(requestId, { logprobs: [of] });
      }
    }
    return sampled;
  }

  #askPrompt(builder: RowQueryBuilder, sequence: ScheduledSequence, start: number): void {
    const { promptRows: rows } = this.#completion(sequence.requestId);
    if (!rows) return;
    const { numComputed } = sequence;
    const end = numComputed + sequence.tokenIds.length;
    const logits = rows.wantedLogits(numComputed, end);
    const numLogits = logits.end - logits.start;
    const hidden = rows.wantedHidden(numComputed, end);
    const { numLogitRows: firstRow, numSums: firstSum, numHiddenRows: firstHidden } = builder;
    for (let position = logits.start; position < logits.end; position++) {
      const row = start + position - numComputed;
      const number = builder.addLogits(row, rows.numLogprobs, rows.tokenAfter(position));
      builder.addSum(number, 1);
    }
    for (let position = hidden.start; position < hidden.end; position++) {
      builder.addHidden(start + position - numComputed);
    }
    const numHidden = hidden.end - hidden.start;
    this.#prompts.push({ rows, firstRow, firstSum, numLogits, firstHidden, numHidden });
  }

  #askSample(builder: RowQueryBuilder, { samplers }: ScheduledSequence, lastRow: number): void {
    if (samplers.length === 0) return;
    const { request, sampler } = this.#completion(samplers[0]);
    const { temperature } = sampler.params;
    const needs = joinNeeds(samplers.map((id) => this.#completion(id).sampler.needs));
    const row = builder.addLogits(lastRow, Math.max(needs.ranked, request.logprobs ?? 0));
    if (needs.whole) builder.addWhole(row);
    const sum = needs.unless ? builder.addSum(row, temperature, needs.unless) : null;
    const plain = (): number => (sum !== null && temperature === 1 ? sum : builder.addSum(row, 1));
    const plainSum = request.logprobs === null ? null : plain();
    this.#sampled.push({ samplers, row, sum, plainSum });
  }

  #candidates(answer: RowAnswer, row: number): Candidates {
    const { ranked } = this.query;
    const [from, to] = [row * ranked, (row + 1) * ranked];
    return {
      count: ranked,
      ids: answer.topIds.subarray(from, to),
      logits: answer.topLogits.subarray(from, to),
      complete: ranked === this.#vocabSize,
    };
  }

  #completion(id: RequestId): Completion {
    const completion = this.#completions.get(id);
    if (!completion) throw new Error(`the plan names ${id}, which is not here`);
    return completion;
  }
}

/** The model's own logit of a token that was chosen: edits may have lifted it from anywhere in the row. */
function logitOf(token: number, { candidates, row }: RowLogits): number {
  if (row) return row[token];
  return candidates.logits[candidates.ids.indexOf(token)];
}
