import type { RotaryEmbedding } from '../../attention/paged-attention.js';
import type { Graph } from '../graph.js';
import { addInt64s } from '../graph-queries.js';
import { floatAttribute, intAttribute, MICROSOFT, makeNode, shapeOf } from '../onnx/nodes.js';
import { type NodeProto, type TensorProto } from '../onnx/onnx_pb.js';
import { readFloats } from '../tensor-data.js';
import { inputOf, refuseUnsupportedOptions, unsupported } from './group-query-options.js';
import type { RecognizedAttention, SiteRecognizer } from './recognizer.js';
import { writeOutNorms } from './write-out-norms.js';

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
    refuseSharedCaches(graph, nodes);
    const packed = nodes.filter((node) => !inputOf(node, 'key')).length;
    if (packed > 0) graph.rewrites.push(`split the packed query, key and value of ${packed} nodes`);
    const normed = nodes.filter((node) => inputOf(node, 'q_norm_weight')).length;
    const sites = nodes.map((node) => this.#site(graph, node));
    if (normed > 0) graph.rewrites.push(`wrote out the query and key norms of ${normed} nodes`);
    return sites;
  }

  #site(graph: Graph, node: NodeProto): RecognizedAttention {
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
    const value = inputOf(node, 'value');
    return {
      form: this.form,
      node,
      cache: null,
      query,
      key,
      value,
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

/** A layer that reads another layer's keys (as Gemma 3n's do) has no pages of its own. */
function refuseSharedCaches(graph: Graph, nodes: readonly NodeProto[]): void {
  const taken = new Set<string>();
  for (const node of nodes) {
    for (const name of ['past_key', 'past_value'] as const) {
      const past = inputOf(node, name);
      if (!graph.inputs.has(past) || taken.has(past)) {
        const what = past ? `${name} ${past} is` : `${name} is absent or`;
        throw unsupported(
          graph,
          node,
          `its ${what} not an input of the graph for this layer alone`,
        );
      }
      taken.add(past);
    }
  }
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
  const caches = [
    ...[inputOf(node, 'past_key'), inputOf(node, 'past_value')].map((n) => graph.inputs.get(n)),
    ...node.output.slice(1, 3).map((name) => graph.outputs.get(name)),
  ].map(shapeOf);
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
