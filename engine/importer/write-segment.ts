import { create, toBinary } from '@bufbuild/protobuf';
import type { Graph } from './graph.js';
import { makeValueInfo } from './onnx/nodes.js';
import {
  GraphProtoSchema,
  ModelProtoSchema,
  type TensorProto,
  TensorProto_DataType,
  type ValueInfoProto,
} from './onnx/onnx_pb.js';
import type { SegmentCut } from './passes/cut.js';
import type { PlacedWeights } from './place-weights.js';

/** The initializers that a segment's nodes read, each once. */
export function segmentWeights(graph: Graph, cut: SegmentCut): TensorProto[] {
  const names = new Set(cut.nodes.flatMap((node) => node.input));
  return [...names].flatMap((name) => graph.initializer(name) ?? []);
}

/** What a segment needs besides its cut. */
export interface SegmentContext {
  readonly types: ReadonlyMap<string, TensorProto_DataType>;
  readonly place: PlacedWeights['place'];
  readonly index: number;
  /** Initializers besides those of the graph. */
  readonly initializers?: readonly TensorProto[];
}

/**
 * Serializes a segment as a separate model. Inputs state their element type and leave their shape
 * open, so that one session runs steps of any size.
 */
export function writeSegment(
  graph: Graph,
  cut: SegmentCut,
  { types, place, index, initializers = [] }: SegmentContext,
): Uint8Array {
  const { irVersion, opsetImport, functions } = graph.model;
  const info = (name: string): ValueInfoProto =>
    makeValueInfo(name, types.get(name) ?? TensorProto_DataType.FLOAT);
  const segment = create(ModelProtoSchema, {
    irVersion,
    opsetImport,
    functions,
    producerName: 'octavo',
    graph: create(GraphProtoSchema, {
      name: `segment-${index}`,
      node: [...cut.nodes],
      initializer: [...segmentWeights(graph, cut).map(place), ...initializers],
      input: cut.inputs.map(info),
      output: cut.outputs.map(info),
    }),
  });
  return toBinary(ModelProtoSchema, segment);
}
