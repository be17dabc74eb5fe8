import type { RotaryEmbedding } from '../../attention/paged-attention.js';
import type { Graph } from '../graph.js';
import { addInt64s, constantInts } from '../graph-queries.js';
import { floatAttribute, intAttribute, MICROSOFT, makeNode, shapeOf } from '../onnx/nodes.js';
import { type NodeProto, type TensorProto } from '../onnx/onnx_pb.js';
import { readFloats } from '../tensor-data.js';
import { inputOf, refuseUnsupportedOptions, unsupported } from './group-query-options.js';
import type { RecognizedAttention, SiteRecognizer } from './recognizer.js';
import { writeOutNorms } from './write-out-norms.js';

/** Inputs with the past, and with it the cache. */
const PASTS = ['past_key', 'past_value'] as const;

interface Heads {
  readonly numHeads: number;
  readonly numKvHeads: number;
  readonly headSize: number;
}

/**
 * `com.microsoft.GroupQueryAttention`, which ONNX Runtime GenAI's model builder writes and most
 * ONNX files on the hub contain. Query, key and value are separate or packed, and are normalized
 * and rotated before the node or inside it.
 */
export class GroupQueryAttentionRecognizer implements SiteRecognizer {
  readonly form = 'GroupQueryAttention';

  recognize(graph: Graph): RecognizedAttention[] {
    const nodes = graph.nodes.filter(
      (node) => node.opType === this.form && node.domain === MICROSOFT,
    );
    const owners = ownersOf(graph, nodes);
    const packed = nodes.filter((node) => !inputOf(node, 'key')).length;
    if (packed > 0) graph.rewrites.push(`split the packed query, key and value of ${packed} nodes`);
    const normed = nodes.filter((node) => inputOf(node, 'q_norm_weight')).length;
    const sites = nodes.map((node) => this.#site(graph, node, owners.get(node) ?? node));
    if (normed > 0) graph.rewrites.push(`wrote out the query and key norms of ${normed} nodes`);
    return sites;
  }

  /** @param owner the node whose cache it reads: itself, or an earlier one */
  #site(graph: Graph, node: NodeProto, owner: NodeProto): RecognizedAttention {
    refuseUnsupportedOptions(graph, node);
    const heads = headsOf(graph, node);
    const { numHeads, numKvHeads, headSize } = heads;
    if (!inputOf(node, 'key')) {
      splitPacked(
        graph,
        node,
        [numHeads, numKvHeads, numKvHeads].map((n) => n * headSize),
      );
    }
    const [query, key] = writeOutNorms(graph, node, heads);
    const isOwn = owner === node;
    return {
      form: this.form,
      node,
      cache: inputOf(owner, 'past_key'),
      query,
      key: isOwn ? key : null,
      value: isOwn ? inputOf(node, 'value') : null,
      output: node.output[0],
      shape: {
        ...heads,
        scale: floatAttribute(node, 'scale', 0) || 1 / Math.sqrt(headSize),
        softcap: floatAttribute(node, 'softcap', 0),
        // Measured: local_window_size W lets a query see itself and the W - 1 tokens before it, in
        // prefill and in decode.
        slidingWindow: Math.max(0, intAttribute(node, 'local_window_size', -1)),
        sinks: sinksOf(graph, node, numHeads),
        alibiSlopes: null,
        rotary: intAttribute(node, 'do_rotary', 0) === 1 ? rotaryOf(graph, node, headSize) : null,
      },
    };
  }
}

/**
 * Whose cache each node reads. A layer without keys of its own (Gemma 3n's and 4's last ones) is
 * given the present of an earlier node as its past, and fresh keys and values of no tokens.
 */
function ownersOf(graph: Graph, nodes: readonly NodeProto[]): Map<NodeProto, NodeProto> {
  const owners = new Map<NodeProto, NodeProto>();
  for (const node of nodes) {
    const pasts = PASTS.map((name) => inputOf(node, name));
    const known = [...owners.values()];
    const other = known.find(({ output }) => output[1] === pasts[0] && output[2] === pasts[1]);
    if (other && [1, 2].every((index) => hasNoTokens(graph, node.input[index] ?? ''))) {
      owners.set(node, other);
      continue;
    }
    const taken = new Set(known.flatMap((owner) => PASTS.map((name) => inputOf(owner, name))));
    const index = pasts.findIndex((past) => !graph.inputs.has(past) || taken.has(past));
    if (index >= 0) {
      const what = pasts[index]
        ? `${PASTS[index]} ${pasts[index]} is`
        : `${PASTS[index]} is absent or`;
      throw unsupported(
        graph,
        node,
        `its ${what} not an input of the graph for this layer alone, nor the present of an earlier node, with keys and values of no tokens beside it`,
      );
    }
    owners.set(node, node);
  }
  return owners;
}

/** `[batch, 0, heads * headSize]`: a constant shape with the size of the batch in front. */
function hasNoTokens(graph: Graph, tensor: string): boolean {
  const node = graph.producer(tensor);
  const shape = node?.opType === 'ConstantOfShape' ? graph.producer(node.input[0]) : undefined;
  const [, rest] = shape?.opType === 'Concat' ? shape.input : [];
  return constantInts(graph, rest)?.[0] === 0;
}

/** The caches `[batch, kvHeads, length, headSize]` state the head size: see `stateHeadSizes`. */
function headsOf(graph: Graph, node: NodeProto): Heads {
  const numHeads = intAttribute(node, 'num_heads', 0);
  const numKvHeads = intAttribute(node, 'kv_num_heads', 0);
  if (numHeads < 1 || numKvHeads < 1 || numHeads % numKvHeads !== 0) {
    throw unsupported(
      graph,
      node,
      `num_heads ${numHeads} is not a multiple of kv_num_heads ${numKvHeads}`,
    );
  }
  const caches = [...PASTS.map((name) => inputOf(node, name)), ...node.output.slice(1, 3)].map(
    (name) => shapeOf(graph.inputs.get(name) ?? graph.outputs.get(name)),
  );
  const wrong = caches.find((shape) => shape?.at(1) && shape.at(1) !== numKvHeads);
  if (wrong) {
    throw unsupported(
      graph,
      node,
      `kv_num_heads ${numKvHeads} contradicts its cache, which has ${wrong[1]}`,
    );
  }
  const headSize = caches.map((shape) => shape?.at(-1)).find((size) => size);
  if (!headSize) {
    const past = inputOf(node, 'past_key');
    throw unsupported(graph, node, `neither ${past} nor its present outputs state the head size`);
  }
  return { numHeads, numKvHeads, headSize };
}

/** Splits a packed `[1, T, (heads + 2 * kvHeads) * headSize]` tensor into three. */
function splitPacked(graph: Graph, node: NodeProto, sizes: readonly number[]): void {
  const packed = inputOf(node, 'query');
  const outputs = ['query', 'key', 'value'].map((part) => `${packed}/octavo.${part}`);
  const split = `${packed}/octavo.split`;
  addInt64s(graph, split, sizes);
  // The node reads the parts, too, so that the graph keeps its meaning for later passes.
  node.input.splice(0, outputs.length, ...outputs);
  graph.addNodes(makeNode('Split', split, [packed, split], outputs, { axis: -1 }));
}

function sinksOf(graph: Graph, node: NodeProto, numHeads: number): Float32Array | null {
  if (!inputOf(node, 'head_sink')) return null;
  const sinks = weightOf(graph, node, 'head_sink');
  if (dimsOf(sinks) !== `[${numHeads}]`) {
    const what = `its head_sink has the shape ${dimsOf(sinks)}; expected [${numHeads}]`;
    throw unsupported(graph, node, what);
  }
  return readFloats(sinks, graph.file);
}

function rotaryOf(graph: Graph, node: NodeProto, headSize: number): RotaryEmbedding {
  const cos = weightOf(graph, node, 'cos_cache');
  const sin = weightOf(graph, node, 'sin_cache');
  const dim = 2 * Number(cos.dims[1] ?? 0);
  if (dimsOf(cos) !== dimsOf(sin) || cos.dims.length !== 2 || dim === 0 || dim > headSize) {
    throw unsupported(
      graph,
      node,
      `its cos_cache ${dimsOf(cos)} and sin_cache ${dimsOf(sin)} must both be [positions, n] with n up to ${headSize / 2}`,
    );
  }
  return {
    dim,
    interleaved: intAttribute(node, 'rotary_interleaved', 0) === 1,
    cos: readFloats(cos, graph.file),
    sin: readFloats(sin, graph.file),
  };
}

function weightOf(
  graph: Graph,
  node: NodeProto,
  input: 'cos_cache' | 'sin_cache' | 'head_sink',
): TensorProto {
  const tensor = graph.weight(inputOf(node, input));
  if (tensor) return tensor;
  const name = inputOf(node, input);
  throw unsupported(graph, node, `its ${input} ${name || '(absent)'} is not a weight`);
}

function dimsOf(tensor: TensorProto): string {
  return `[${tensor.dims.join(', ')}]`;
}
