import { InferenceSession, Tensor } from 'onnxruntime-node';
import { elementTypes } from '../element-types.js';
import type { Graph } from '../graph.js';
import { STEP_INPUT } from '../imported-model.js';
import { shapeOf } from '../onnx/nodes.js';
import { TensorProto_DataType as Type } from '../onnx/onnx_pb.js';
import { byteLength } from '../tensor-data.js';
import { ActivationShapes, STEP_LENGTH, STEP_PAST } from './activation-shapes.js';
import { type Subgraph, sliceGraph, writeSubgraph } from './subgraph.js';

/** A step of one sequence, as inputs of the uncut graph. */
export interface ProbeStep {
  readonly past: number;
  readonly length: number;
}

/** Runs parts of a graph in ONNX Runtime on generated values, to observe what they compute. */
export class Probe {
  readonly graph: Graph;
  readonly #types: Map<string, Type>;
  /**
   * Token embeddings, which are replaced: their values do not matter here, and the tables are the
   * largest weights.
   */
  readonly #embeddings: ReadonlyMap<string, number>;
  /** Outputs of Shape nodes whose input is an activation. */
  readonly #answers = new Map<string, readonly number[]>();

  constructor(graph: Graph) {
    this.graph = graph;
    this.#types = elementTypes(graph);
    this.#embeddings = embeddings(graph);
    const shapes = new ActivationShapes(graph);
    for (const node of graph.nodes) {
      const answer = shapes.answer(node);
      if (answer) this.#answers.set(node.output[0], answer);
    }
  }

  /**
   * Filters the tensors that can be computed, that is, without a node that ONNX Runtime does not
   * know.
   */
  computable(outputs: readonly string[], foreign: string): string[] {
    return outputs.filter((name) => {
      const { nodes } = sliceGraph(this.graph, [name], this.#given([name], []));
      return nodes.every(({ opType }) => opType !== foreign);
    });
  }

  /**
   * @param outputs which tensors to compute
   * @param feeds tensors that are given instead of computed; absent inputs of the graph are
   *   generated
   * @throws Error when ONNX Runtime refuses, or an input is unknown
   */
  async run(
    outputs: readonly string[],
    steps: readonly ProbeStep[],
    feeds: (step: ProbeStep) => ReadonlyMap<string, Tensor>,
  ): Promise<Map<string, Tensor>[]> {
    const part = sliceGraph(this.graph, outputs, this.#given(outputs, feeds(steps[0]).keys()));
    refuseWeights(this.graph, part);
    const model = writeSubgraph(this.graph, part, outputs, this.#types);
    const session = await InferenceSession.create(model, {
      graphOptimizationLevel: 'disabled',
      intraOpNumThreads: 1,
      logSeverityLevel: 4,
    });
    try {
      const results: Map<string, Tensor>[] = [];
      for (const step of steps) {
        const given = feeds(step);
        const all = part.inputs.map((name) => [name, given.get(name) ?? this.#madeUp(name, step)]);
        const result = await session.run(Object.fromEntries(all) as Record<string, Tensor>);
        results.push(new Map(outputs.map((name) => [name, result[name]])));
      }
      return results;
    } finally {
      await session.release();
    }
  }

  /** Tensors that need not be computed. */
  #given(outputs: readonly string[], fed: Iterable<string>): Set<string> {
    const answered = [...this.#answers.keys()].filter((name) => !outputs.includes(name));
    return new Set([...fed, ...this.#embeddings.keys(), ...answered]);
  }

  #madeUp(name: string, { past, length }: ProbeStep): Tensor {
    const type = this.#types.get(name) ?? Type.FLOAT;
    const answer = this.#answers.get(name);
    if (answer) {
      const sizes = new Map([
        [STEP_LENGTH, length],
        [STEP_PAST, past],
      ]);
      return filled(Type.INT64, [answer.length], (i) => sizes.get(answer[i]) ?? answer[i]);
    }
    const width = this.#embeddings.get(name);
    if (width !== undefined) return filled(type, [1, length, width], () => 0);
    if (name === STEP_INPUT.inputIds) return filled(type, [1, length], () => 0);
    if (name === STEP_INPUT.positionIds) return filled(type, [1, length], (i) => past + i);
    if (name === 'attention_mask') return filled(type, [1, past + length], () => 1);
    const shape = shapeOf(this.graph.inputs.get(name));
    if (shape?.length === 4 && shape[1] && shape[3]) {
      return filled(type, [1, shape[1], past, shape[3]], () => 0);
    }
    throw new Error(`it needs the tensor ${name}, whose values are not known`);
  }
}

/**
 * Bound on the constants of a mask, in bytes. The largest that exporters write is a table of 4096 x
 * 4096 booleans.
 */
const MOST_CONSTANTS = 64 * 2 ** 20;

function refuseWeights(graph: Graph, { nodes }: Subgraph): void {
  const names = new Set(nodes.flatMap(({ input }) => input));
  let bytes = 0;
  for (const name of names) {
    const tensor = graph.initializer(name);
    if (tensor) bytes += byteLength(tensor);
    if (bytes > MOST_CONSTANTS) {
      throw new Error(`its mask or scale is computed from weights of the model (${name})`);
    }
  }
}

function embeddings(graph: Graph): Map<string, number> {
  const found = new Map<string, number>();
  for (const node of graph.nodes) {
    const width = found.get(node.input[0] ?? '');
    if (node.opType === 'Cast' && width !== undefined) found.set(node.output[0], width);
    if (node.opType !== 'Gather' || node.input[1] !== STEP_INPUT.inputIds) continue;
    const table = graph.weight(node.input[0]);
    if (table?.dims.length === 2) found.set(node.output[0], Number(table.dims[1]));
  }
  return found;
}

/** A tensor filled with one value, of the types that occur around attention. */
export function filled(
  type: number,
  dims: readonly number[],
  value: (index: number) => number,
): Tensor {
  const size = dims.reduce((a, b) => a * b, 1);
  const values = Float64Array.from({ length: size }, (_, i) => value(i));
  switch (type) {
    case Type.INT64:
      return new Tensor('int64', BigInt64Array.from(values, BigInt), dims);
    case Type.INT32:
      return new Tensor('int32', Int32Array.from(values), dims);
    case Type.BOOL:
      return new Tensor('bool', Uint8Array.from(values), dims);
    case Type.UINT8:
      return new Tensor('uint8', Uint8Array.from(values), dims);
    case Type.INT8:
      return new Tensor('int8', Int8Array.from(values), dims);
    default:
      return new Tensor('float32', Float32Array.from(values), dims);
  }
}
