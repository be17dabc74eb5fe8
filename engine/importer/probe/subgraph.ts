import { create, toBinary } from '@bufbuild/protobuf';
import type { Graph } from '../graph.js';
import { makeValueInfo } from '../onnx/nodes.js';
import {
  GraphProtoSchema,
  ModelProtoSchema,
  type NodeProto,
  type TensorProto,
  TensorProto_DataLocation,
  type TensorProto_DataType,
  TensorProtoSchema,
} from '../onnx/onnx_pb.js';
import { isExternal, readBytes } from '../tensor-data.js';

/** The part of a graph that computes some tensors from others. */
export interface Subgraph {
  readonly nodes: readonly NodeProto[];
  /** Tensors it reads that are neither its own nor weights. */
  readonly inputs: readonly string[];
}

/** The nodes that compute `outputs`, back to the tensors of `cuts`. */
export function sliceGraph(
  graph: Graph,
  outputs: readonly string[],
  cuts: ReadonlySet<string>,
): Subgraph {
  const wanted = new Set(outputs);
  const nodes: NodeProto[] = [];
  for (const node of [...graph.nodes].reverse()) {
    if (!node.output.some((name) => name !== '' && wanted.has(name) && !cuts.has(name))) continue;
    nodes.push(node);
    for (const name of node.input) wanted.add(name);
  }
  const made = new Set(nodes.flatMap((node) => node.output).filter((name) => !cuts.has(name)));
  const inputs = [...wanted].filter(
    (name) => name !== '' && !made.has(name) && !graph.initializer(name),
  );
  return { nodes: nodes.reverse(), inputs };
}

/** Serializes a subgraph as a separate model with inline weights: those of a mask are small. */
export function writeSubgraph(
  graph: Graph,
  { nodes, inputs }: Subgraph,
  outputs: readonly string[],
  types: ReadonlyMap<string, TensorProto_DataType>,
): Uint8Array {
  const fed = new Set(inputs);
  const names = new Set(nodes.flatMap((node) => node.input));
  const info = (name: string): ReturnType<typeof makeValueInfo> =>
    makeValueInfo(name, types.get(name) ?? 1);
  const { irVersion, opsetImport, functions } = graph.model;
  return toBinary(
    ModelProtoSchema,
    create(ModelProtoSchema, {
      irVersion,
      opsetImport,
      functions,
      graph: create(GraphProtoSchema, {
        name: 'probe',
        // A node may output a tensor that is fed here besides one that is computed.
        node: nodes.map((node) => withoutOutputs(node, fed)),
        initializer: [...names].flatMap((name) => {
          const tensor = graph.initializer(name);
          return tensor ? inlined(tensor, graph.file) : [];
        }),
        input: inputs.map(info),
        output: outputs.map(info),
      }),
    }),
  );
}

function withoutOutputs(node: NodeProto, fed: ReadonlySet<string>): NodeProto {
  if (!node.output.some((name) => fed.has(name))) return node;
  return { ...node, output: node.output.map((name) => (fed.has(name) ? '' : name)) };
}

function inlined(tensor: TensorProto, file: string): TensorProto {
  if (!isExternal(tensor)) return tensor;
  return create(TensorProtoSchema, {
    name: tensor.name,
    dims: tensor.dims,
    dataType: tensor.dataType,
    dataLocation: TensorProto_DataLocation.DEFAULT,
    rawData: readBytes(tensor, file),
  });
}
