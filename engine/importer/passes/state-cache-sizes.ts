import type { Graph } from '../graph.js';
import { shapeOf } from '../onnx/nodes.js';
import type { ValueInfoProto } from '../onnx/onnx_pb.js';
import { joinOf } from '../recognizers/cache-flow.js';

/**
 * Some exporters leave the number and size of a cache's heads open in the input, and state them in
 * the output (transformers 5 gives the dimensions names: '2', '16'). Where past and fresh tokens
 * are joined along the token axis, both have the same sizes.
 */
export function stateCacheSizes(graph: Graph): void {
  for (const node of graph.nodes) {
    const join = joinOf(graph, node);
    const past = graph.inputs.get(join?.past ?? '');
    const joined = shapeOf(graph.stated(node.output[0]));
    if (!past || joined?.length !== 4) continue;
    for (const axis of [1, 3]) stateSize(past, axis, joined[axis]);
  }
}

function stateSize(info: ValueInfoProto, axis: number, size: number | null): void {
  const type = info.type?.value;
  const dim = type?.case === 'tensorType' ? type.value.shape?.dim[axis] : undefined;
  if (!dim || size === null || dim.value.case === 'dimValue') return;
  dim.value = { case: 'dimValue', value: BigInt(size) };
}
