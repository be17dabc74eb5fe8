import { create } from '@bufbuild/protobuf';
import type { RotaryEmbedding } from '../../attention/paged-attention.js';
import { OctavoError } from '../../errors.js';
import {
  floatAttribute,
  type Graph,
  intAttribute,
  MICROSOFT,
  makeNode,
  shapeOf,
} from '../graph.js';
import { type NodeProto, TensorProto_DataType, TensorProtoSchema } from '../onnx/onnx_pb.js';
import { readFloats } from '../tensor-data.js';
import type { AttentionRecogniser, RecognisedSite } from './recogniser.js';

/** Inputs of com.microsoft.GroupQueryAttention, by position. */
const INPUT = {
  query: 0,
  key: 1,
  value: 2,
  pastKey: 3,
  cos: 7,
  sin: 8,
  positions: 9,
  bias: 10,
  sinks: 11,
};

/** Attributes that are described by an attention shape; any other one that is not at its default is refused. */
const HONOURED = new Set([
  'num_heads',
  'kv_num_heads',
  'scale',
  'softcap',
  'local_window_size',
  'do_rotary',
  'rotary_interleaved',
]);

/**
 * `com.microsoft.GroupQueryAttention`, as ONNX Runtime GenAI's model builder and most ONNX files on the hub have it:
 * separate or packed query, key and value, rotated before the node or inside it.
 */
export class GroupQueryAttentionRecogniser implements AttentionRecogniser {
  readonly form = 'GroupQueryAttention';

  recognise(graph: Graph): RecognisedSite[] {
    return graph.nodes
      .filter((node) => node.opType === this.form && node.domain === MICROSOFT)
      .map((node) => this.#site(graph, node));
  }

  #site(graph: Graph, node: NodeProto): RecognisedSite {
    refuseWhatIsNotHonoured(graph, node);
    const numHeads = intAttribute(node, 'num_heads', 0);
    const numKvHeads = intAttribute(node, 'kv_num_heads', 0);
    const headSize = headSizeOf(graph, node);
    const window = intAttribute(node, 'local_window_size', -1);
    const sinks = node.input[INPUT.sinks];
    const sinkWeights = sinks ? graph.initializer(sinks) : undefined;
    if (sinks && !sinkWeights)
      throw unsupported(graph, node, `its head_sink ${sinks} is not a weight`);
    const [query, key, value] = node.input[INPUT.key]
      ? [node.input[INPUT.query], node.input[INPUT.key], node.input[INPUT.value]]
      : splitPacked(
          graph,
          node,
          [numHeads, numKvHeads, numKvHeads].map((n) => n * headSize),
        );
    return {
      form: this.form,
      node,
      query,
      key,
      value,
      output: node.output[0],
      shape: {
        numHeads,
        numKvHeads,
        headSize,
        scale: floatAttribute(node, 'scale', 0) || 1 / Math.sqrt(headSize),
        softcap: floatAttribute(node, 'softcap', 0),
        slidingWindow: window > 0 ? window : 0,
        sinks: sinkWeights ? readFloats(sinkWeights, graph.file) : null,
        alibiSlopes: null,
        rotary: intAttribute(node, 'do_rotary', 0) === 1 ? rotaryOf(graph, node) : null,
      },
    };
  }
}

function refuseWhatIsNotHonoured(graph: Graph, node: NodeProto): void {
  for (const attribute of node.attribute) {
    if (HONOURED.has(attribute.name)) continue;
    const isDefault = attribute.i === 0n || attribute.i === -1n || attribute.s.length > 0;
    const isNone = attribute.s.length === 0 || new TextDecoder().decode(attribute.s) === 'NONE';
    if (isDefault && isNone) continue;
    throw unsupported(graph, node, `the attribute ${attribute.name} is not supported`);
  }
  if (node.input[INPUT.bias])
    throw unsupported(graph, node, 'an attention_bias input is not supported');
  if (node.input[INPUT.positions] && intAttribute(node, 'do_rotary', 0) === 1) {
    throw unsupported(graph, node, 'rotation by a position_ids input is not supported');
  }
}

/** The cache's last dimension states it. */
function headSizeOf(graph: Graph, node: NodeProto): number {
  const past = node.input[INPUT.pastKey];
  const size = shapeOf(graph.inputs.get(past))?.at(-1);
  if (!size) {
    throw unsupported(
      graph,
      node,
      `the graph input ${past || 'past_key'} does not state the head size`,
    );
  }
  return size;
}

/** Cuts a packed `[1, T, (heads + 2 * kvHeads) * headSize]` tensor into three. */
function splitPacked(graph: Graph, node: NodeProto, sizes: readonly number[]): string[] {
  const packed = node.input[INPUT.query];
  const outputs = ['query', 'key', 'value'].map((part) => `${packed}/octavo.${part}`);
  const split = `${packed}/octavo.split`;
  graph.addInitializer(
    create(TensorProtoSchema, {
      name: split,
      dataType: TensorProto_DataType.INT64,
      dims: [3n],
      int64Data: sizes.map(BigInt),
    }),
  );
  graph.addNodes(makeNode('Split', split, [packed, split], outputs, { axis: -1 }));
  return outputs;
}

function rotaryOf(graph: Graph, node: NodeProto): RotaryEmbedding {
  const [cos, sin] = [INPUT.cos, INPUT.sin].map((index) => {
    const table = graph.initializer(node.input[index] ?? '');
    if (!table)
      throw unsupported(graph, node, 'do_rotary is on, but cos_cache or sin_cache is not a weight');
    return table;
  });
  return {
    dim: 2 * Number(cos.dims[1]),
    interleaved: intAttribute(node, 'rotary_interleaved', 0) === 1,
    cos: readFloats(cos, graph.file),
    sin: readFloats(sin, graph.file),
  };
}

function unsupported(graph: Graph, node: NodeProto, what: string): OctavoError {
  return new OctavoError(
    'model_unsupported',
    `${graph.file}: node ${node.name} (GroupQueryAttention): ${what}; export with separate query, key and value, ` +
      'a past_key input with a fixed head size, and no bias or quantised cache',
  );
}
