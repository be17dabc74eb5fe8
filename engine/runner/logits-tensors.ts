import { Tensor } from 'onnxruntime-node';
import type { LogitsQuery, LogitsResult } from '../decoding/logits-query.js';
import { STEP_INPUT, STEP_OUTPUT } from '../importer/imported-model.js';
import { int64 } from './step-batch.js';
import { floats, int32s, type Tensors, take } from './tensors.js';

// Converts a row query to the last segment's inputs, and its outputs to an answer.

/**
 * Splits a query into several, each with at most `maxRows` rows of logits; none for an empty query.
 */
export function piecesOf(query: LogitsQuery, maxRows: number): LogitsQuery[] {
  const { logitRows, targetIds, fullRows, softmaxSums, hiddenRows } = query;
  const size = logitRows.length;
  if (size <= maxRows) return size + hiddenRows.length > 0 ? [query] : [];
  return Array.from({ length: Math.ceil(size / maxRows) }, (_, index) => {
    const start = index * maxRows;
    const end = start + maxRows;
    const inside = (row: number): boolean => row >= start && row < end;
    const column = (values: readonly number[]): number[] =>
      values.filter((__, i) => inside(softmaxSums.rows[i]));
    return {
      logitRows: logitRows.slice(start, end),
      topK: query.topK,
      targetIds: targetIds.slice(start, end),
      fullRows: fullRows.filter(inside).map((row) => row - start),
      softmaxSums: {
        rows: column(softmaxSums.rows).map((row) => row - start),
        temperatures: column(softmaxSums.temperatures),
        coverMasses: column(softmaxSums.coverMasses),
        cutoffRatios: column(softmaxSums.cutoffRatios),
      },
      hiddenRows: index === 0 ? hiddenRows : [],
    };
  });
}

/**
 * For a query without rows of logits, one row is computed and dropped by `readAnswer`: on zero
 * rows, TopK divides by zero and ends the process (ONNX Runtime 1.30).
 */
export function rowTensors(query: LogitsQuery): [string, Tensor][] {
  const { softmaxSums } = query;
  const logitRows = query.logitRows.length > 0 ? query.logitRows : [0];
  const targetIds = query.targetIds.length > 0 ? query.targetIds : [0];
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
    ints(STEP_INPUT.topK, [query.topK]),
    ints(STEP_INPUT.targetIds, targetIds, [1, targetIds.length, 1]),
    ints(STEP_INPUT.fullRows, query.fullRows),
    ints(STEP_INPUT.sumRows, softmaxSums.rows),
    perSum(
      STEP_INPUT.inverseTemperatures,
      softmaxSums.temperatures.map((temperature) => 1 / temperature),
    ),
    perSum(STEP_INPUT.coverMasses, softmaxSums.coverMasses),
    perSum(STEP_INPUT.cutoffRatios, softmaxSums.cutoffRatios),
  ];
}

/** ONNX Runtime copies outputs into new memory, so the answer owns it. */
export function readAnswer(tensors: Tensors, { logitRows, topK }: LogitsQuery): LogitsResult {
  const numRows = logitRows.length;
  const float = (name: string): Float32Array => floats(take(tensors, name));
  return {
    topLogits: float(STEP_OUTPUT.topLogits).subarray(0, numRows * topK),
    topIds: int32s(take(tensors, STEP_OUTPUT.topIds)).subarray(0, numRows * topK),
    targetLogits: float(STEP_OUTPUT.targetLogits).subarray(0, numRows),
    softmaxSums: float(STEP_OUTPUT.largestProbabilities).map((p) => 1 / p),
    fullRows: int32s(take(tensors, STEP_OUTPUT.fullRows)),
    fullLogits: float(STEP_OUTPUT.fullLogits),
    hidden: float(STEP_OUTPUT.hidden),
  };
}

/** Joins the answers to the pieces of a query. */
export function joinAnswers(answers: readonly LogitsResult[], maxRows: number): LogitsResult {
  if (answers.length === 1) return answers[0];
  const join = (part: (answer: LogitsResult) => Float32Array): Float32Array => {
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
    softmaxSums: join(({ softmaxSums }) => softmaxSums),
    fullRows: Int32Array.from(
      answers.flatMap(({ fullRows }, piece) => [...fullRows].map((row) => row + piece * maxRows)),
    ),
    fullLogits: join(({ fullLogits }) => fullLogits),
    hidden: join(({ hidden }) => hidden),
  };
}
