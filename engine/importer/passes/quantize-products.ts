import { create } from '@bufbuild/protobuf';
import { type Graph, MICROSOFT, makeNode } from '../graph.js';
import { STEP_INPUT } from '../imported-model.js';
import {
  AttributeProto_AttributeType,
  AttributeProtoSchema,
  type NodeProto,
  OperatorSetIdProtoSchema,
  type TensorProto,
  TensorProtoSchema,
  TensorProto_DataType as Type,
} from '../onnx/onnx_pb.js';
import { carriedScales } from '../quantize/carried-scales.js';
import type { Embedding, Product, QuantizePlan } from '../quantize/find-products.js';

/** int8 weights and their scales, one for each output channel. */
export interface WeightTensors {
  /** int8: `[inputs, outputs]` of a product, `[rows, width]` of an embedding. */
  readonly values: TensorProto;
  /** float32: `[outputs]` of a product, `[rows, 1]` of an embedding. */
  readonly scales: TensorProto;
}

/** Largest magnitude of a quantised activation; its zero is at 128, so that all of them are unsigned. */
const LARGEST_ACTIVATION = 127;
const INVERSE = 'octavo.w8a8.inverse';
const ONE = 'octavo.w8a8.one';
/** Products want one zero point for all rows, QuantizeLinear one for each. */
const ZERO = 'octavo.w8a8.zero';
const SAMPLED_ZERO_POINTS = `${STEP_INPUT.zeroPoints}.sampled`;

/**
 * Rewrites products of float activations as products of int8 numbers. For a row x of an activation and a weight W:
 *
 *     s = max |x| / 127             Abs, ReduceMax, Mul      one number a row: a neighbour's outlier spoils nothing, and a row's
 *     q = round(x / s) + 128        QuantizeLinear           result never depends on the other rows of the step
 *     y = (q - 128) Wq * sw * s     MatMulIntegerToFloat, Mul
 *
 * Products of the same activation share s and q. Where only products read what is made of y, the last Mul is theirs: see carried-scales.ts.
 * MatMulIntegerToFloat would take s too, but only one for all rows. (Dettmers et al. 2022,
 * LLM.int8(), section 2.1: row-wise and column-wise scales, there called vector-wise.)
 *
 * A row of zeros has s = 0; q may then be anything, and y is 0.
 */
export function quantizeProducts(
  graph: Graph,
  plan: QuantizePlan,
  tensors: ReadonlyMap<Product | Embedding, WeightTensors>,
): void {
  const rewriter = new Rewriter(graph, tensors, carriedScales(graph, plan.products));
  const added = [
    ...plan.products.flatMap((product) => rewriter.product(product)),
    ...plan.embeddings.flatMap((embedding) => rewriter.embedding(embedding)),
  ];
  if (added.length === 0) return;
  importMicrosoft(graph);
  // Fed, because computing them would cost nodes, and at one token a step the tiny nodes are what costs.
  graph.addInput(STEP_INPUT.zeroPoints, Type.UINT8);
  const zero = { name: ZERO, dims: [], dataType: Type.UINT8, rawData: Uint8Array.of(128) };
  graph.addInitializer(create(TensorProtoSchema, zero));
  graph.addInitializer(floats(INVERSE, [1 / LARGEST_ACTIVATION]));
  graph.addInitializer(floats(ONE, [1]));
  for (const { values, scales } of tensors.values()) {
    graph.addInitializer(values);
    graph.addInitializer(scales);
  }
  const gone = [...plan.products, ...plan.embeddings].map(({ node }) => node);
  graph.replaceNodes(gone, added);
}

class Rewriter {
  readonly #graph: Graph;
  readonly #tensors: ReadonlyMap<Product | Embedding, WeightTensors>;
  /** By activation: the product whose rows' scales are still missing in it. */
  readonly #carried: ReadonlyMap<string, Product>;
  readonly #unscaled: ReadonlySet<Product>;
  /** What has a row for each sampled token only. */
  readonly #sampled: ReadonlySet<string>;
  #zeroPointsAreSampled = false;
  /** Names of a quantised activation and of its scale, shaped for the product's result. */
  readonly #activations = new Map<string, readonly [values: string, scale: string]>();

  constructor(
    graph: Graph,
    tensors: ReadonlyMap<Product | Embedding, WeightTensors>,
    carried: ReadonlyMap<string, Product>,
  ) {
    this.#graph = graph;
    this.#tensors = tensors;
    this.#carried = carried;
    this.#unscaled = new Set(carried.values());
    this.#sampled = dependents(graph, STEP_INPUT.sampleRows);
  }

  product(product: Product): NodeProto[] {
    const { node, bias, type } = product;
    const { values, scales } = this.#weights(product);
    const nodes: NodeProto[] = [];
    const [quantized, scale] = this.#activation(product, nodes);
    const [output] = node.output;
    const name = node.name || output;
    const steps: ((from: string, to: string) => NodeProto)[] = [
      (_, to) => {
        const inputs = [quantized, values.name, ONE, scales.name, ZERO];
        return microsoft(makeNode('MatMulIntegerToFloat', name, inputs, [to]));
      },
    ];
    if (!this.#unscaled.has(product)) {
      steps.push((from, to) => makeNode('Mul', `${name}/scaled`, [from, scale], [to]));
    }
    if (type !== Type.FLOAT) {
      const to = { to: type };
      steps.push((from, out) => makeNode('Cast', `${name}/narrowed`, [from], [out], to));
    }
    if (bias !== '') {
      steps.push((from, to) => makeNode('Add', `${name}/biased`, [from, bias], [to]));
    }
    let from = '';
    steps.forEach((step, index) => {
      const to = index === steps.length - 1 ? output : `${output}/octavo.${index}`;
      nodes.push(step(from, to));
      from = to;
    });
    return nodes;
  }

  /** Looks up int8 rows and their scales: `[1, T, width]` and `[1, T, 1]`. */
  embedding(embedding: Embedding): NodeProto[] {
    const { node } = embedding;
    const { values, scales } = this.#weights(embedding);
    const [output] = node.output;
    const name = node.name || output;
    const at = (part: string): string => `${output}/octavo.${part}`;
    return [
      makeNode('Gather', `${name}/rows`, [values.name, node.input[1]], [at('rows')]),
      makeNode('Gather', `${name}/scales`, [scales.name, node.input[1]], [at('scales')]),
      makeNode('Cast', `${name}/widened`, [at('rows')], [at('widened')], { to: Type.FLOAT }),
      makeNode('Mul', name, [at('widened'), at('scales')], [output]),
    ];
  }

  #weights(of: Product | Embedding): WeightTensors {
    const tensors = this.#tensors.get(of);
    if (!tensors) throw new Error(`no quantised weights for node ${of.node.name}`);
    return tensors;
  }

  #activation(product: Product, nodes: NodeProto[]): readonly [string, string] {
    const { activation, rank, type } = product;
    const known = this.#activations.get(activation);
    if (known) return known;
    const at = (part: string): string => `${activation}/octavo.${part}`;
    let x = activation;
    if (type !== Type.FLOAT) {
      x = at('float');
      nodes.push(makeNode('Cast', x, [activation], [x], { to: Type.FLOAT }));
    }
    const shape = `octavo.w8a8.column${rank}`;
    this.#graph.addInitializer(int64s(shape, rank === 3 ? [1, -1, 1] : [-1, 1]));
    const axis = rank - 2;
    nodes.push(
      makeNode('Abs', at('abs'), [x], [at('abs')]),
      this.#rowMaxima(at('abs'), at('max'), rank),
      makeNode('Mul', at('scale'), [at('max'), INVERSE], [at('scale')]),
      // The operator of this domain knows scales along an axis in every version of the standard operators.
      microsoft(
        makeNode(
          'QuantizeLinear',
          at('int8'),
          [x, at('scale'), this.#zeroPoints(activation, nodes)],
          [at('int8')],
          { axis },
        ),
      ),
      makeNode('Reshape', at('column'), [at('scale'), shape], [at('column')]),
    );
    const giver = this.#carried.get(activation);
    let column = at('column');
    if (giver) {
      const [, scale] = this.#activation(giver, nodes);
      column = at('carried');
      nodes.push(makeNode('Mul', column, [at('column'), scale], [column]));
    }
    const names = [at('int8'), column] as const;
    this.#activations.set(activation, names);
    return names;
  }

  /** As many as the activation has rows. */
  #zeroPoints(activation: string, nodes: NodeProto[]): string {
    if (!this.#sampled.has(activation)) return STEP_INPUT.zeroPoints;
    if (!this.#zeroPointsAreSampled) {
      const inputs = [STEP_INPUT.zeroPoints, STEP_INPUT.sampleRows];
      nodes.push(makeNode('Gather', SAMPLED_ZERO_POINTS, inputs, [SAMPLED_ZERO_POINTS]));
      this.#zeroPointsAreSampled = true;
    }
    return SAMPLED_ZERO_POINTS;
  }

  /** `[T]`: the axes of ReduceMax are an attribute before operator set 18. */
  #rowMaxima(from: string, to: string, rank: 2 | 3): NodeProto {
    const axes = rank === 3 ? [0, 2] : [1];
    const standard = this.#graph.model.opsetImport.find(({ domain }) => isStandard(domain));
    if (Number(standard?.version ?? 0) >= 18) {
      const name = `octavo.w8a8.axes${rank}`;
      this.#graph.addInitializer(int64s(name, axes));
      return makeNode('ReduceMax', to, [from, name], [to], { keepdims: 0 });
    }
    const node = makeNode('ReduceMax', to, [from], [to], { keepdims: 0 });
    const ints = { name: 'axes', type: AttributeProto_AttributeType.INTS, ints: axes.map(BigInt) };
    node.attribute.push(create(AttributeProtoSchema, ints));
    return node;
  }
}

/** All tensors that an input takes part in. */
function dependents(graph: Graph, input: string): Set<string> {
  const found = new Set([input]);
  for (const node of graph.nodes) {
    if (!node.input.some((name) => found.has(name))) continue;
    for (const output of node.output) if (output !== '') found.add(output);
  }
  return found;
}

function microsoft(node: NodeProto): NodeProto {
  node.domain = MICROSOFT;
  return node;
}

function isStandard(domain: string): boolean {
  return domain === '' || domain === 'ai.onnx';
}

function importMicrosoft(graph: Graph): void {
  const { opsetImport } = graph.model;
  if (opsetImport.some(({ domain }) => domain === MICROSOFT)) return;
  opsetImport.push(create(OperatorSetIdProtoSchema, { domain: MICROSOFT, version: 1n }));
}

function floats(name: string, values: readonly number[]): TensorProto {
  return create(TensorProtoSchema, {
    name,
    dims: [],
    dataType: Type.FLOAT,
    floatData: [...values],
  });
}

function int64s(name: string, values: readonly number[]): TensorProto {
  const dims = [BigInt(values.length)];
  return create(TensorProtoSchema, {
    name,
    dims,
    dataType: Type.INT64,
    int64Data: values.map(BigInt),
  });
}
