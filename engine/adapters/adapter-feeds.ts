import { Tensor } from 'onnxruntime-node';
import { ADAPTER_INPUT, type AdapterTarget } from '../importer/imported-model.js';

/** Tensors that a step with adapters feeds to the segments, by input. */
export type AdapterFeeds = ReadonlyMap<string, Tensor>;

const EMPTY = new Float32Array(0);

/** What a segment with these targets is fed in a step without adapters. */
export function noAdapters(targets: readonly AdapterTarget[]): Record<string, Tensor> {
  if (targets.length === 0) return {};
  const { isAdapted, rows, mask, first, second } = ADAPTER_INPUT;
  const floats = (width: number): Tensor => new Tensor('float32', EMPTY, [0, width]);
  return {
    [isAdapted]: new Tensor('bool', [false], []),
    [rows]: new Tensor('int64', new BigInt64Array(0), [0]),
    ...Object.fromEntries(
      targets.flatMap((target) => [
        [mask(target), floats(0)],
        [first(target), floats(target.inputs)],
        [second(target), floats(target.outputs)],
      ]),
    ),
  };
}
