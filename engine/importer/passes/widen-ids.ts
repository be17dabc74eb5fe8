import type { Graph } from '../graph.js';
import { STEP_INPUT } from '../imported-model.js';
import { makeNode } from '../onnx/nodes.js';
import { TensorProto_DataType as Type } from '../onnx/onnx_pb.js';

/**
 * A step's tokens and positions are int64. Graphs that take int32, as ONNX Runtime's own converters
 * write, get a Cast.
 */
export function widenIds(graph: Graph): void {
  for (const name of [STEP_INPUT.inputIds, STEP_INPUT.positionIds]) {
    const type = graph.inputs.get(name)?.type?.value;
    if (type?.case !== 'tensorType' || type.value.elemType !== Type.INT32) continue;
    type.value.elemType = Type.INT64;
    const narrow = `${name}/octavo.int32`;
    for (const node of graph.nodes) {
      // A Gather accepts both types.
      if (node.opType === 'Gather' && node.input[1] === name) continue;
      node.input.forEach((input, index) => {
        if (input === name) node.input[index] = narrow;
      });
    }
    graph.addNodes(makeNode('Cast', narrow, [name], [narrow], { to: Type.INT32 }));
    graph.rewrites.push(`narrowed ${name} to int32`);
  }
}
