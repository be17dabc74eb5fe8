import { Tensor } from 'onnxruntime-node';
import { STEP_INPUT } from '../importer/imported-model.js';
import type { StepBatch } from './step-batch.js';

/** What a step feeds to the segments, by name. */
export function stepTensors(batch: StepBatch): Map<string, Tensor> {
  const row = [1, batch.numTokens];
  return new Map<string, Tensor>([
    [STEP_INPUT.inputIds, new Tensor('int64', batch.inputIds, row)],
    [STEP_INPUT.positionIds, new Tensor('int64', batch.positionIds, row)],
    [STEP_INPUT.sequenceLengths, new Tensor('int64', batch.sequenceLengths, row)],
    [STEP_INPUT.zeroPoints, new Tensor('uint8', zeroPoints(batch.numTokens), [batch.numTokens])],
  ]);
}

let zeroes = new Uint8Array(0);

/** The same bytes for every step: ONNX Runtime only reads them. */
function zeroPoints(numTokens: number): Uint8Array {
  if (zeroes.length < numTokens) zeroes = new Uint8Array(numTokens).fill(128);
  return zeroes.subarray(0, numTokens);
}
