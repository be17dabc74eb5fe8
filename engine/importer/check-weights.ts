import { OctavoError } from '../errors.js';
import type { Graph } from './graph.js';
import type { TensorProto } from './onnx/onnx_pb.js';
import { expectedBytes, externalRange, isExternal } from './tensor-data.js';

/**
 * Checks that every weight is complete before it is used. ONNX Runtime would notice too, but its
 * message lacks the file's name.
 *
 * @throws OctavoError `model_file_corrupt`: which weight, and what is wrong with it
 */
export function checkWeights(graph: Graph): void {
  for (const tensor of graph.initializers.values()) {
    const fail = (what: string): OctavoError =>
      new OctavoError('model_file_corrupt', `${graph.file}: weight ${tensor.name} ${what}`);
    const shape = `[${tensor.dims.join(', ')}]`;
    if (tensor.dims.some((dim) => dim < 0n)) throw fail(`has the shape ${shape}`);
    if (isExternal(tensor)) {
      externalRange(tensor, graph.file);
      continue;
    }
    const needed = expectedBytes(tensor);
    const has = tensor.rawData.length;
    // Values may be in a typed field instead; ONNX Runtime checks their number.
    if (needed === null || needed === has || (has === 0 && hasTypedData(tensor))) continue;
    throw fail(`has ${has} bytes; its shape ${shape} needs ${needed}`);
  }
}

function hasTypedData(tensor: TensorProto): boolean {
  const { floatData, doubleData, int32Data, int64Data, uint64Data } = tensor;
  return [floatData, doubleData, int32Data, int64Data, uint64Data].some((data) => data.length > 0);
}
