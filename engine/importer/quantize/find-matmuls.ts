import { elementTypes } from '../element-types.js';
import type { Graph } from '../graph.js';
import { floatAttribute, intAttribute } from '../onnx/nodes.js';
import { type NodeProto, type TensorProto, TensorProto_DataType as Type } from '../onnx/onnx_pb.js';
import { formatOf, UNPACK, unpackingOf } from '../onnx/unpack-node.js';
import { whyNotUnpacked } from './nbits-matrix.js';
import type { QuantizeScope } from './quantization.js';
import { groupFor } from './round-blocks.js';
import { DENSE_TYPES } from './stored-matrix.js';

/** Where a matmul's weight comes from. */
export type WeightSource =
  | {
      readonly kind: 'dense';
      readonly tensor: TensorProto;
      /** Whether it is stored as `[outputs, inputs]`. */
      readonly turned: boolean;
    }
  | {
      readonly kind: 'joined';
      /** Matrices `[outputs, inputs]` whose rows follow one another: the layers of one input. */
      readonly tensors: readonly TensorProto[];
    }
  | {
      readonly kind: 'nbits';
      readonly node: NodeProto;
      readonly packed: TensorProto;
      readonly scales: TensorProto;
      readonly zeroPoints: TensorProto | null;
    }
  | {
      readonly kind: 'unpacked';
      /** The placeholder that unpacks it, `[outputs, inputs]`. */
      readonly node: NodeProto;
    };

/** A matmul of a float activation with a constant matrix. */
export interface Matmul {
  readonly node: NodeProto;
  readonly activation: string;
  /** Type of activation and result. */
  readonly type: Type;
  readonly source: WeightSource;
  readonly inputs: number;
  readonly outputs: number;
  /** Tensor that is added to the result; '' for none. */
  readonly bias: string;
}

/** An embedding table that is also the LM head's weight. */
export interface Embedding {
  readonly node: NodeProto;
  readonly tensor: TensorProto;
}

export interface QuantizePlan {
  readonly matmuls: readonly Matmul[];
  readonly embeddings: readonly Embedding[];
  /** See `QuantizeModelOptions`; absent: no. */
  readonly scalesAtOnce?: boolean;
  /** Matmuls with constant weights that are not quantized, and why. */
  readonly left: readonly { readonly node: NodeProto; readonly reason: string }[];
}

/**
 * Smallest inner size that is quantized. Smaller matmuls take no time, and some are no linear
 * layers: rotary angles are often a matmul of positions with frequencies, of inner size 1.
 */
const FEWEST_INPUTS = 16;
const NAMES = new Set(['MatMul', 'Gemm', 'MatMulNBits']);
/** Why packed weights are left. */
export const LEFT_PACKED = 'packed weights (--quantize-nbits takes them)';
export const LEFT_INT8 = 'weights of 8 bits already';
/** Operators that are never quantized, and why. */
const LEFT: Readonly<Record<string, string>> = {
  MatMulInteger: LEFT_INT8,
  MatMulIntegerToFloat: LEFT_INT8,
  MatMulBnb4: 'weights in 4 bits of bitsandbytes',
};

/**
 * Finds the matmuls that W8A8 can rewrite.
 *
 * @param isTied whether a table `[outputs, inputs]` and the weight of the last matmul hold the same
 *   numbers
 */
export function planQuantization(
  graph: Graph,
  scope: QuantizeScope,
  isTied: (table: TensorProto, head: Matmul) => boolean,
): QuantizePlan {
  const types = elementTypes(graph);
  const matmuls: Matmul[] = [];
  const left: { node: NodeProto; reason: string }[] = [];
  for (const node of graph.nodes) {
    const reason = LEFT[node.opType];
    if (!reason && !NAMES.has(node.opType)) continue;
    if (!graph.isConstant(node.input[1]) || graph.isConstant(node.input[0])) continue;
    const found = reason ?? asMatmul(graph, node, scope, types);
    const why = typeof found === 'string' ? found : whyNotRounded(found, scope);
    if (typeof found !== 'string' && why === null) matmuls.push(found);
    else left.push({ node, reason: `${why}` });
  }
  const embeddings = findEmbeddings(graph, matmuls, isTied);
  return { matmuls, embeddings, left };
}

/** Why a matmul's weight cannot be rounded by groups of inputs. */
function whyNotRounded({ inputs, type }: Matmul, { kind = 'w8a8' }: QuantizeScope): string | null {
  if (kind === 'w8a8') return null;
  if (type !== Type.FLOAT) return `activations of type ${Type[type] ?? type}`;
  return groupFor(kind === 'q4' ? 4 : 8, inputs) === null
    ? `${inputs} inputs, which is no multiple of 16`
    : null;
}

/** The matmul, or the reason why it cannot be quantized. */
function asMatmul(
  graph: Graph,
  node: NodeProto,
  scope: QuantizeScope,
  types: ReadonlyMap<string, Type>,
): Matmul | string {
  const activation = node.input[0];
  const type = types.get(activation) ?? Type.FLOAT;
  if (!DENSE_TYPES.has(type)) return `activations of type ${Type[type] ?? type}`;
  const base = { node, activation, type } as const;
  if (node.opType === 'MatMulNBits') return packedMatmul(graph, base, scope);
  const weight = findWeight(graph, node.input[1]);
  if (typeof weight === 'string') return weight;
  if ('source' in weight) return placeholderMatmul(base, weight.source, scope);
  if ('tensors' in weight) return joinedMatmul(base, weight.tensors);
  let { turned } = weight;
  if (node.opType === 'Gemm') {
    const plain = floatAttribute(node, 'alpha', 1) === 1 && floatAttribute(node, 'beta', 1) === 1;
    if (!plain) return 'factors alpha or beta';
    if (intAttribute(node, 'transA', 0) === 1) return 'a transposed activation';
    if (intAttribute(node, 'transB', 0) === 1) turned = !turned;
  }
  const dims = weight.tensor.dims.map(Number);
  const [inputs, outputs] = turned ? [dims[1], dims[0]] : dims;
  if (inputs < FEWEST_INPUTS) return `only ${inputs} inputs`;
  const bias = node.opType === 'Gemm' ? (node.input[2] ?? '') : '';
  return { ...base, source: { kind: 'dense', ...weight, turned }, inputs, outputs, bias };
}

function joinedMatmul(
  base: Pick<Matmul, 'node' | 'activation' | 'type'>,
  tensors: readonly TensorProto[],
): Matmul | string {
  const inputs = Number(tensors[0].dims[1]);
  if (inputs < FEWEST_INPUTS) return `only ${inputs} inputs`;
  const outputs = tensors.reduce((sum, { dims }) => sum + Number(dims[0]), 0);
  return { ...base, source: { kind: 'joined', tensors }, inputs, outputs, bias: '' };
}

/** W8A8 takes all packed weights: activations are rounded in any case. */
function placeholderMatmul(
  base: Pick<Matmul, 'node' | 'activation' | 'type'>,
  source: Extract<WeightSource, { readonly kind: 'unpacked' }>,
  { kind = 'w8a8', nbits }: QuantizeScope,
): Matmul | string {
  const format = formatOf(source.node);
  if (format === 'w8a8') return LEFT_INT8;
  const isPacked = format !== 'fp8';
  if (kind !== 'w8a8' && isPacked && !nbits) return LEFT_PACKED;
  const { rows: outputs, columns: inputs } = unpackingOf(source.node);
  return { ...base, source, inputs, outputs, bias: '' };
}

function packedMatmul(
  graph: Graph,
  base: Pick<Matmul, 'node' | 'activation' | 'type'>,
  scope: QuantizeScope,
): Matmul | string {
  const { node } = base;
  if (!scope.nbits) return LEFT_PACKED;
  const reason = whyNotUnpacked(node);
  if (reason) return reason;
  // (After the graph has been widened, float16 scales are followed by a Cast.)
  const [packed, scales, zeroPoints] = [1, 2, 3].map((i) => graph.weight(node.input[i] ?? ''));
  if (!packed || !scales || (node.input[3] && !zeroPoints)) return 'weights that are computed';
  if (!DENSE_TYPES.has(scales.dataType)) return 'scales that are no floats';
  return {
    ...base,
    source: { kind: 'nbits', node, packed, scales, zeroPoints: zeroPoints ?? null },
    inputs: intAttribute(node, 'K', 0),
    outputs: intAttribute(node, 'N', 0),
    bias: node.input[5] ?? '',
  };
}

type FoundWeight =
  | { readonly tensor: TensorProto; readonly turned: boolean }
  | { readonly tensors: readonly TensorProto[] }
  | { readonly source: Extract<WeightSource, { readonly kind: 'unpacked' }> };

/** The stored matrix of a constant: exporters put Cast and Transpose between it and the matmul. */
function findWeight(graph: Graph, name: string): FoundWeight | string {
  let turned = false;
  for (let at = name; ; ) {
    const tensor = graph.initializer(at);
    if (tensor) {
      if (tensor.dims.length !== 2) return `a weight of ${tensor.dims.length} dimensions`;
      if (DENSE_TYPES.has(tensor.dataType)) return { tensor, turned };
      return `weights of type ${Type[tensor.dataType] ?? tensor.dataType}`;
    }
    const maker = graph.producer(at);
    if (maker?.opType === UNPACK && turned) {
      return { source: { kind: 'unpacked', node: maker } };
    }
    if (maker?.opType === 'Concat' && turned) return joinedWeight(graph, maker);
    if (!maker || !['Cast', 'Transpose', 'Identity'].includes(maker.opType)) {
      return `weights that ${maker?.opType ?? 'nothing'} makes`;
    }
    // For a matrix, only one order of Transpose changes anything.
    if (maker.opType === 'Transpose') {
      const order = maker.attribute.find((a) => a.name === 'perm')?.ints.map(Number);
      if (order === undefined || order[0] === 1) turned = !turned;
    }
    at = maker.input[0];
  }
}

/** Matrices that a graph puts below one another (`build/layers.ts`). */
function joinedWeight(graph: Graph, { input, attribute }: NodeProto): FoundWeight | string {
  const axis = attribute.find(({ name }) => name === 'axis')?.i;
  const parts = input.map((name) => findWeight(graph, name));
  const tensors = parts.flatMap((part) =>
    typeof part !== 'string' && 'tensor' in part && !part.turned ? [part.tensor] : [],
  );
  const areRows = axis === 0n && tensors.length === input.length;
  return areRows ? { tensors } : 'weights that Concat makes';
}

/** Embedding tables with the same numbers as the LM head, which is the last matmul. */
function findEmbeddings(
  graph: Graph,
  matmuls: readonly Matmul[],
  isTied: (table: TensorProto, head: Matmul) => boolean,
): Embedding[] {
  const head = matmuls.at(-1);
  if (!head) return [];
  return graph.nodes.flatMap((node) => {
    if (node.opType !== 'Gather' || intAttribute(node, 'axis', 0) !== 0) return [];
    if (graph.isConstant(node.input[1])) return [];
    const tensor = graph.initializer(node.input[0]);
    if (tensor?.dims.length !== 2 || !DENSE_TYPES.has(tensor.dataType)) return [];
    const [rows, columns] = tensor.dims.map(Number);
    if (rows !== head.outputs || columns !== head.inputs) return [];
    return isTied(tensor, head) ? [{ node, tensor }] : [];
  });
}
