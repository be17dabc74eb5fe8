import { create } from '@bufbuild/protobuf';
import { ADAPTER_INPUT, type AdapterTarget } from '../imported-model.js';
import { makeNode, makeValueInfo, setGraphAttribute } from '../onnx/nodes.js';
import {
  GraphProtoSchema,
  type NodeProto,
  NodeProtoSchema,
  type TensorProto,
  TensorProtoSchema,
  TensorProto_DataType as Type,
  type ValueInfoProto,
  ValueInfoProtoSchema,
} from '../onnx/onnx_pb.js';
import type { SegmentCut } from '../passes/cut.js';

/** What a segment consists of. */
export interface SegmentBody {
  readonly nodes: readonly NodeProto[];
  readonly inputs: readonly ValueInfoProto[];
  readonly initializers: readonly TensorProto[];
}

const SIZES = 'octavo.rows_of_width';
/** The rows as `[N, 1]`. */
const COLUMN = 'octavo.adapter_row_column';

/**
 * A segment that computes, for the rows that have an adapter, the low-rank products of the targets:
 *
 *     If (is_adapted)
 *       then   y' = y;  y'[rows] += ((x[rows] A^T) * mask) B      for each target x -> y
 *       else   the segment as it is
 *
 * Both branches read the same weights, of which ONNX Runtime (1.30) keeps one copy, also where a
 * kernel packs them: two sessions would have two. Rows without an adapter are not touched, and a
 * step without any costs what its empty inputs do (docs/adapters.md).
 */
export function adaptedSegment(
  { nodes, outputs }: SegmentCut,
  { inputs, initializers }: Omit<SegmentBody, 'nodes'>,
  targets: readonly AdapterTarget[],
): SegmentBody {
  const branch = makeNode('If', 'octavo.adapters', [ADAPTER_INPUT.isAdapted], outputs);
  const body = (name: string, content: readonly NodeProto[]) =>
    create(GraphProtoSchema, {
      name,
      node: content.map((node) => renamed(node, outputs, name)),
      output: outputs.map((output) => create(ValueInfoProtoSchema, { name: `${output}/${name}` })),
    });
  setGraphAttribute(branch, 'then_branch', body('adapted', adapted(nodes, targets)));
  setGraphAttribute(branch, 'else_branch', body('plain', nodes));
  return {
    nodes: [branch],
    inputs: [...inputs, ...inputsOf(targets)],
    initializers: [...initializers, ...constantsOf(targets)],
  };
}

/** The nodes with the products behind the matmuls of the targets. */
function adapted(nodes: readonly NodeProto[], targets: readonly AdapterTarget[]): NodeProto[] {
  const byOutput = new Map(targets.map((target) => [target.output, target]));
  const rows = new Set<string>();
  const column = makeNode('Reshape', COLUMN, [ADAPTER_INPUT.rows, sizesOf(1)], [COLUMN]);
  const added = nodes.flatMap((node) => {
    const target = byOutput.get(node.output[0]);
    if (!target) return [node];
    const base = `${target.output}/octavo.base`;
    const own = create(NodeProtoSchema, { ...node, output: [base, ...node.output.slice(1)] });
    const chosen = `${target.activation}/octavo.adapted_rows`;
    const first = rows.has(chosen) ? [] : rowsOf(target.activation, target.inputs, chosen);
    rows.add(chosen);
    return [own, ...first, ...products(target, chosen, base)];
  });
  return [column, ...added];
}

/** The rows of an activation that have an adapter: `[N, width]`. */
function rowsOf(activation: string, width: number, chosen: string): NodeProto[] {
  const flat = `${activation}/octavo.flat`;
  return [
    makeNode('Reshape', flat, [activation, sizesOf(width)], [flat]),
    makeNode('Gather', chosen, [flat, ADAPTER_INPUT.rows], [chosen], { axis: 0 }),
  ];
}

function products(target: AdapterTarget, rows: string, base: string): NodeProto[] {
  const { output, outputs } = target;
  const at = (part: string): string => `${output}/octavo.${part}`;
  const step = (opType: string, part: string, inputs: string[], attributes = {}): NodeProto =>
    makeNode(opType, at(part), inputs, [at(part)], attributes);
  return [
    step('Gemm', 'ranks', [rows, ADAPTER_INPUT.first(target)], { transB: 1 }),
    step('Mul', 'own_ranks', [at('ranks'), ADAPTER_INPUT.mask(target)]),
    step('Reshape', 'base_flat', [base, sizesOf(outputs)]),
    step('Gather', 'base_rows', [at('base_flat'), ADAPTER_INPUT.rows], { axis: 0 }),
    step('Gemm', 'sum', [at('own_ranks'), ADAPTER_INPUT.second(target), at('base_rows')]),
    step('ScatterND', 'scattered', [at('base_flat'), COLUMN, at('sum')]),
    step('Shape', 'shape', [base]),
    makeNode('Reshape', at('adapted'), [at('scattered'), at('shape')], [output]),
  ];
}

/** The node in a branch, whose outputs must not have the names of the segment's. */
function renamed(node: NodeProto, outputs: readonly string[], branch: string): NodeProto {
  const own = (name: string): string => (outputs.includes(name) ? `${name}/${branch}` : name);
  return create(NodeProtoSchema, {
    ...node,
    input: node.input.map(own),
    output: node.output.map(own),
  });
}

const sizesOf = (width: number): string => `${SIZES}.${width}`;

/** Shapes `[-1, width]`, and of a column. */
function constantsOf(targets: readonly AdapterTarget[]): TensorProto[] {
  const widths = new Set([1, ...targets.flatMap(({ inputs, outputs }) => [inputs, outputs])]);
  return [...widths].map((width) =>
    create(TensorProtoSchema, {
      name: sizesOf(width),
      dataType: Type.INT64,
      dims: [2n],
      int64Data: [-1n, BigInt(width)],
    }),
  );
}

function inputsOf(targets: readonly AdapterTarget[]): ValueInfoProto[] {
  const { isAdapted, rows, mask, first, second } = ADAPTER_INPUT;
  const floats = targets.flatMap((target) => [mask(target), first(target), second(target)]);
  return [
    makeValueInfo(isAdapted, Type.BOOL),
    makeValueInfo(rows, Type.INT64),
    ...[...new Set(floats)].map((name) => makeValueInfo(name, Type.FLOAT)),
  ];
}
