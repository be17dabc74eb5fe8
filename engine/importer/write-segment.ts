import { create, toBinary } from '@bufbuild/protobuf';
import { adaptedSegment, type SegmentBody } from './emit/adapted-segment.js';
import type { Graph } from './graph.js';
import type { AdapterTarget } from './imported-model.js';
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
export function writeSegment(graph: Graph, cut: SegmentCut, context: SegmentContext): Uint8Array {
  return write(graph, cut, context, bodyOf(graph, cut, context));
}

/** The same segment with the low-rank products of adapters. */
export function writeAdaptedSegment(
  graph: Graph,
  cut: SegmentCut,
  context: SegmentContext,
  targets: readonly AdapterTarget[],
): Uint8Array {
  const body = bodyOf(graph, cut, context);
  return write(graph, cut, context, adaptedSegment(cut, body, targets));
}

function bodyOf(
  graph: Graph,
  cut: SegmentCut,
  { types, place, initializers = [] }: SegmentContext,
): SegmentBody {
  return {
    nodes: cut.nodes,
    initializers: [...segmentWeights(graph, cut).map(place), ...initializers],
    inputs: cut.inputs.map((name) => infoOf(types, name)),
  };
}

function infoOf(types: SegmentContext['types'], name: string): ValueInfoProto {
  return makeValueInfo(name, types.get(name) ?? TensorProto_DataType.FLOAT);
}

function write(
  graph: Graph,
  cut: SegmentCut,
  { types, index }: SegmentContext,
  { nodes, initializers, inputs }: SegmentBody,
): Uint8Array {
  const { irVersion, opsetImport, functions } = graph.model;
  const segment = create(ModelProtoSchema, {
    irVersion,
    opsetImport,
    functions,
    producerName: 'octavo',
    graph: create(GraphProtoSchema, {
      name: `segment-${index}`,
      node: [...nodes],
      initializer: [...initializers],
      input: [...inputs],
      output: cut.outputs.map((name) => infoOf(types, name)),
    }),
  });
  return toBinary(ModelProtoSchema, segment);
}
