import { Tensor } from 'onnxruntime-node';
import type { RowAnswer, RowQuery } from '../decoding/row-query.js';
import { STEP_INPUT, STEP_OUTPUT } from '../importer/imported-model.js';
import { int64 } from './step-batch.js';
import { floats, int32s, type Tensors, take } from './tensors.js';

// A row query as the last segment's inputs, and its outputs as an answer.

/**
 * A query as several, each of at most `maxRows` rows of logits; none when nothing is asked.
 */
export function piecesOf(query: RowQuery, maxRows: number): RowQuery[] {
  const { logitRows, targets, whole, sums, hiddenRows } = query;
  const size = logitRows.length;
  if (size <= maxRows) return size + hiddenRows.length > 0 ? [query] : [];
  return Array.from({ length: Math.ceil(size / maxRows) }, (_, index) => {
    const start = index * maxRows;
    const end = start + maxRows;
    const inside = (row: number): boolean => row >= start && row < end;
    const column = (values: readonly number[]): number[] =>
      values.filter((__, i) => inside(sums.rows[i]));
    return {
      logitRows: logitRows.slice(start, end),
      ranked: query.ranked,
      targets: targets.slice(start, end),
      whole: whole.filter(inside).map((row) => row - start),
      sums: {
        rows: column(sums.rows).map((row) => row - start),
        temperatures: column(sums.temperatures),
        neededMasses: column(sums.neededMasses),
        closingRatios: column(sums.closingRatios),
      },
      hiddenRows: index === 0 ? hiddenRows : [],
    };
  });
}

/**
 * A query without rows of logits computes one nevertheless, which `readAnswer` drops: on zero rows, TopK divides by zero and ends the process
 * (ONNX Runtime 1.30).
 */
export function rowTensors(query: RowQuery): [string, Tensor][] {
  const { sums } = query;
  const logitRows = query.logitRows.length > 0 ? query.logitRows : [0];
  const targets = query.targets.length > 0 ? query.targets : [0];
  const ints = (name: string, values: readonly number[], dims = [values.length]) =>
    [name, new Tensor('int64', int64(values), dims)] as [string, Tensor];
  const perSum = (name: string, values: readonly number[]) =>
    [name, new Tensor('float32', Float32Array.from(values), [1, values.length, 1])] as [
      string,
      Tensor,
    ];
  return [
    ints(STEP_INPUT.sampleRows, logitRows),
    ints(STEP_INPUT.hiddenRows, query.hiddenRows),
    ints(STEP_INPUT.ranked, [query.ranked]),
    ints(STEP_INPUT.targetIds, targets, [1, targets.length, 1]),
    ints(STEP_INPUT.wholeRows, query.whole),
    ints(STEP_INPUT.sumRows, sums.rows),
    perSum(
      STEP_INPUT.inverseTemperatures,
      sums.temperatures.map((temperature) => 1 / temperature),
    ),
    perSum(STEP_INPUT.neededMasses, sums.neededMasses),
    perSum(STEP_INPUT.closingRatios, sums.closingRatios),
  ];
}

/** ONNX Runtime has copied the outputs into new memory: nobody else has it. */
export function readAnswer(tensors: Tensors, { logitRows, ranked }: RowQuery): RowAnswer {
  const numRows = logitRows.length;
  const float = (name: string): Float32Array => floats(take(tensors, name));
  return {
    topLogits: float(STEP_OUTPUT.topLogits).subarray(0, numRows * ranked),
    topIds: int32s(take(tensors, STEP_OUTPUT.topIds)).subarray(0, numRows * ranked),
    targetLogits: float(STEP_OUTPUT.targetLogits).subarray(0, numRows),
    totals: float(STEP_OUTPUT.largestProbabilities).map((p) => 1 / p),
    wholeRows: int32s(take(tensors, STEP_OUTPUT.wholeRows)),
    wholeLogits: float(STEP_OUTPUT.wholeLogits),
    hidden: float(STEP_OUTPUT.hidden),
  };
}

/** Answers to the pieces of a query, as one. */
export function joinAnswers(answers: readonly RowAnswer[], maxRows: number): RowAnswer {
  if (answers.length === 1) return answers[0];
  const join = (part: (answer: RowAnswer) => Float32Array): Float32Array => {
    const parts = answers.map(part);
    const joined = new Float32Array(parts.reduce((n, { length }) => n + length, 0));
    let offset = 0;
    for (const values of parts) {
      joined.set(values, offset);
      offset += values.length;
    }
    return joined;
  };
  return {
    topLogits: join(({ topLogits }) => topLogits),
    topIds: Int32Array.from(answers.flatMap(({ topIds }) => [...topIds])),
    targetLogits: join(({ targetLogits }) => targetLogits),
    totals: join(({ totals }) => totals),
    wholeRows: Int32Array.from(
      answers.flatMap(({ wholeRows }, piece) => [...wholeRows].map((row) => row + piece * maxRows)),
    ),
    wholeLogits: join(({ wholeLogits }) => wholeLogits),
    hidden: join(({ hidden }) => hidden),
  };
}
