import type { TokenId } from '../../scheduler/ids.js';
import type { ScheduledSequence } from '../../scheduler/step-plan.js';
import type { LogitsQueryBuilder } from './logits-query-builder.js';
import type { PromptRows } from './prompt-rows.js';
import type { StepAnswer } from './step-answer.js';
import { tokenLogprobs } from './token-logprobs.js';

/**
 * What one sequence asked of its prompt's rows: `count` results from the number of its first one.
 */
interface PromptShare {
  readonly rows: PromptRows;
  readonly firstRow: number;
  readonly firstSum: number;
  readonly numLogits: number;
  readonly firstHidden: number;
  readonly numHidden: number;
  /** Number of the row of the labels, and of its sum; null when it is not in this step. */
  readonly labels: { readonly row: number; readonly sum: number } | null;
}

/**
 * Reads log-probabilities and hidden states of one step's prompts. Each request keeps them until
 * its first output.
 */
export class PromptReading {
  readonly #shares: PromptShare[] = [];

  /** @param firstRow the step's row of `sequence.tokenIds[0]` */
  ask(
    builder: LogitsQueryBuilder,
    rows: PromptRows,
    sequence: ScheduledSequence,
    firstRow: number,
  ): void {
    const { numComputed } = sequence;
    const end = numComputed + sequence.tokenIds.length;
    const logits = rows.wantedLogits(numComputed, end);
    const hidden = rows.wantedHidden(numComputed, end);
    const share = {
      rows,
      firstRow: builder.numLogitRows,
      firstSum: builder.numSoftmaxSums,
      numLogits: logits.end - logits.start,
      firstHidden: builder.numHiddenRows,
      numHidden: hidden.end - hidden.start,
    };
    for (let position = logits.start; position < logits.end; position++) {
      const row = firstRow + position - numComputed;
      const number = builder.addLogits(row, rows.numLogprobs, rows.tokenAfter(position));
      builder.addSoftmaxSum(number, 1);
    }
    for (let position = hidden.start; position < hidden.end; position++) {
      builder.addHidden(firstRow + position - numComputed);
    }
    let labels: PromptShare['labels'] = null;
    if (rows.wantsLabels(end)) {
      const row = builder.addLogits(firstRow + end - 1 - numComputed, 1);
      builder.addFullRow(row);
      labels = { row, sum: builder.addSoftmaxSum(row, 1) };
    }
    this.#shares.push({ ...share, labels });
  }

  read(answer: StepAnswer): void {
    for (const share of this.#shares) {
      const { rows, firstRow, firstSum, numLogits, firstHidden, numHidden, labels } = share;
      for (let i = 0; i < numLogits; i++) {
        const row = firstRow + i;
        const candidates = answer.candidates(row);
        const count = Math.min(rows.numLogprobs, candidates.count);
        const total = answer.softmaxSum(firstSum + i);
        rows.addLogprobs(tokenLogprobs(answer.targetLogit(row), candidates, total, count));
      }
      if (numHidden > 0) rows.addHidden(answer.hidden(firstHidden, numHidden), numHidden);
      if (labels !== null) rows.addLabels(labelLogprobs(rows.labels, answer, labels));
    }
  }
}

function labelLogprobs(
  labels: readonly TokenId[],
  answer: StepAnswer,
  { row, sum }: { readonly row: number; readonly sum: number },
): number[] {
  const { candidates, row: logits } = answer.logits(row, sum);
  if (logits === null) throw new Error('labels need their whole row of logits');
  const base = candidates.logits[0] + Math.log(answer.softmaxSum(sum));
  return labels.map((label) => logits[label] - base);
}
