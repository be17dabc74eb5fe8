import { Tensor } from 'onnxruntime-node';
import { STEP_INPUT } from '../importer/imported-model.js';
import type { StepBatch } from './step-batch.js';

/** A step's tensors by name. */
export type Tensors = ReadonlyMap<string, Tensor>;

export function take(tensors: Tensors, name: string): Tensor {
  const tensor = tensors.get(name);
  if (!tensor) throw new Error(`no segment or site has computed ${name}`);
  return tensor;
}

export function floats(tensor: Tensor): Float32Array {
  if (tensor.data instanceof Float32Array) return tensor.data;
  throw new Error(`expected a float32 tensor, got ${tensor.type}`);
}

export function int32s(tensor: Tensor): Int32Array {
  if (tensor.data instanceof Int32Array) return tensor.data;
  throw new Error(`expected an int32 tensor, got ${tensor.type}`);
}

/** Bytes of 128 for any number of rows. Steps share them, because ONNX Runtime only reads them. */
export class ZeroPoints {
  #bytes = new Uint8Array(0);

  of(numTokens: number): Uint8Array {
    if (this.#bytes.length < numTokens) this.#bytes = new Uint8Array(numTokens).fill(128);
    return this.#bytes.subarray(0, numTokens);
  }
}

/** The tensors that a step feeds to the segments, by name. */
export function stepTensors(batch: StepBatch, zeroPoints: ZeroPoints): Map<string, Tensor> {
  const row = [1, batch.numTokens];
  return new Map<string, Tensor>([
    [STEP_INPUT.inputIds, new Tensor('int64', batch.inputIds, row)],
    [STEP_INPUT.positionIds, new Tensor('int64', batch.positionIds, row)],
    [STEP_INPUT.sequenceLengths, new Tensor('int64', batch.sequenceLengths, row)],
    [STEP_INPUT.zeroPoints, new Tensor('uint8', zeroPoints.of(batch.numTokens), [batch.numTokens])],
  ]);
}
