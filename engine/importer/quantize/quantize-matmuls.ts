import type { Graph } from '../graph.js';
import { makeNode } from '../onnx/nodes.js';
import { type NodeProto, type TensorProto, TensorProto_DataType as Type } from '../onnx/onnx_pb.js';
import { deferredScales } from './deferred-scales.js';
import type { Embedding, Matmul, QuantizePlan } from './find-matmuls.js';
import { type QuantizedRows, RowQuantizer } from './row-quantizer.js';

/** int8 weights and their scales, one for each output channel. */
export interface WeightTensors {
  /** int8: `[inputs, outputs]` of a matmul, `[rows, width]` of an embedding. */
  readonly values: TensorProto;
  /** float32: `[outputs]` of a matmul, `[rows, 1]` of an embedding. */
  readonly scales: TensorProto;
}

/**
 * Rewrites float matmuls as int8 matmuls. For a row x of an activation and a weight W:
 *
 *     s = max |x| / 127             Abs, ReduceMax, Mul
 *     q = round(x / s) + 128        QuantizeLinear
 *     y = (q - 128) Wq * sw * s     MatMulIntegerToFloat, Mul
 *
 * The scale s is one number for each row: an outlier in another row changes nothing, and a row's
 * result never depends on the other rows of the step.
 *
 * Matmuls of the same activation share s and q. Where only matmuls read what follows from y, they
 * take over the last Mul: see deferred-scales.ts. MatMulIntegerToFloat accepts an s, too, but only
 * one for all rows. (Dettmers et al. 2022, LLM.int8(), section 2.1: row-wise and column-wise
 * scales, there called vector-wise.)
 *
 * A row of zeros has s = 0; q may then be anything, and y is 0.
 */
export function quantizeMatmuls(
  graph: Graph,
  plan: QuantizePlan,
  tensors: ReadonlyMap<Matmul | Embedding, WeightTensors>,
): void {
  if (plan.matmuls.length + plan.embeddings.length === 0) return;
  const deferred = plan.scalesAtOnce === true ? new Map() : deferredScales(graph, plan.matmuls);
  const rewriter = new Rewriter(graph, tensors, deferred);
  const added = [
    ...plan.matmuls.flatMap((matmul) => rewriter.matmul(matmul)),
    ...plan.embeddings.flatMap((embedding) => rewriter.embedding(embedding)),
  ];
  for (const { values, scales } of tensors.values()) {
    graph.addInitializer(values);
    graph.addInitializer(scales);
  }
  const gone = [...plan.matmuls, ...plan.embeddings].map(({ node }) => node);
  graph.replaceNodes(gone, added);
}

class Rewriter {
  readonly #quantizer: RowQuantizer;
  readonly #tensors: ReadonlyMap<Matmul | Embedding, WeightTensors>;
  /** By activation: the matmul whose row scales have not been applied to it yet. */
  readonly #deferred: ReadonlyMap<string, Matmul>;
  readonly #unscaled: ReadonlySet<Matmul>;
  readonly #activations = new Map<string, QuantizedRows>();

  constructor(
    graph: Graph,
    tensors: ReadonlyMap<Matmul | Embedding, WeightTensors>,
    deferred: ReadonlyMap<string, Matmul>,
  ) {
    this.#quantizer = new RowQuantizer(graph);
    this.#tensors = tensors;
    this.#deferred = deferred;
    this.#unscaled = new Set(deferred.values());
  }

  matmul(matmul: Matmul): NodeProto[] {
    const { node, bias, type } = matmul;
    const { values, scales } = this.#weights(matmul);
    const nodes: NodeProto[] = [];
    const rows = this.#activation(matmul, nodes);
    const [output] = node.output;
    const name = node.name || output;
    const steps: ((from: string, to: string) => NodeProto)[] = [
      (_, to) =>
        this.#quantizer.matmul(name, rows, { values: values.name, scales: scales.name }, to),
    ];
    if (!this.#unscaled.has(matmul)) {
      steps.push((from, to) => makeNode('Mul', `${name}/scaled`, [from, rows.column], [to]));
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

  #weights(of: Matmul | Embedding): WeightTensors {
    const tensors = this.#tensors.get(of);
    if (!tensors) throw new Error(`no quantized weights for node ${of.node.name}`);
    return tensors;
  }

  #activation({ activation, type }: Matmul, nodes: NodeProto[]): QuantizedRows {
    const known = this.#activations.get(activation);
    if (known) return known;
    let rows = this.#quantizer.quantize(activation, type, nodes);
    const giver = this.#deferred.get(activation);
    if (giver) {
      const column = `${activation}/octavo.carried`;
      const missing = this.#activation(giver, nodes).column;
      nodes.push(makeNode('Mul', column, [rows.column, missing], [column]));
      rows = { ...rows, column };
    }
    this.#activations.set(activation, rows);
    return rows;
  }
}
