import { create, toBinary } from '@bufbuild/protobuf';
import type { Graph } from './graph.js';
import {
  GraphProtoSchema,
  ModelProtoSchema,
  type NodeProto,
  type TensorProto,
} from './onnx/onnx_pb.js';

/** The parts of a graph that its outputs depend on. */
export interface LiveParts {
  /** In topological order. */
  readonly nodes: readonly NodeProto[];
  readonly initializers: readonly TensorProto[];
}

/**
 * Leaves out what passes have made useless: nodes without readers, and weights that only those
 * nodes read.
 */
export function liveParts(graph: Graph): LiveParts {
  const needed = new Set(graph.outputs.keys());
  const nodes: NodeProto[] = [];
  for (const node of [...graph.nodes].reverse()) {
    if (!node.output.some((name) => name !== '' && needed.has(name))) continue;
    nodes.push(node);
    for (const name of node.input) needed.add(name);
  }
  const initializers = [...needed].flatMap((name) => graph.initializer(name) ?? []);
  return { nodes: nodes.reverse(), initializers };
}

/** Serializes the whole graph as passes have rewritten it. */
export function writeModel(graph: Graph): Uint8Array {
  const { irVersion, opsetImport, functions, producerName, producerVersion } = graph.model;
  const { nodes, initializers } = liveParts(graph);
  const model = create(ModelProtoSchema, {
    irVersion,
    opsetImport,
    functions,
    producerName,
    producerVersion,
    graph: create(GraphProtoSchema, {
      name: graph.model.graph?.name ?? '',
      node: [...nodes],
      initializer: [...initializers],
      input: [...graph.inputs.values()],
      output: [...graph.outputs.values()],
      valueInfo: graph.model.graph?.valueInfo ?? [],
    }),
  });
  return toBinary(ModelProtoSchema, model);
}
