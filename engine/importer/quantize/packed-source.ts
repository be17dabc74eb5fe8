import { e4m3Table, int8Matrix } from '../../checkpoint/composed/bytes.js';
import { OrderError } from '../../checkpoint/composed/input-order.js';
import { MXFP4_GROUP, mxfp4Matrix } from '../../checkpoint/composed/mxfp4.js';
import {
  awqMatrix,
  gptqMatrix,
  packedMatrix,
  type WordParts,
} from '../../checkpoint/composed/words.js';
import type { Unpacked } from '../../checkpoint/packed/packed-format.js';
import {
  blockedMatrix,
  memoryOf,
  type PackedMatrix,
  setLeast,
} from '../../checkpoint/packed/packed-matrix.js';
import { COMPOSED_PARTS, type ComposedPart } from '../../checkpoint/stored-tensor.js';
import { OctavoError } from '../../errors.js';
import type { Graph } from '../graph.js';
import type { NodeProto, TensorProto } from '../onnx/onnx_pb.js';
import { type Unpacking, unpackingOf } from '../onnx/unpack-node.js';
import { byteLength } from '../tensor-data.js';
import { readAll, type StoredMatrix, type TensorBytes } from './stored-matrix.js';

type Composed = Extract<Unpacking, { readonly kind: 'composed' }>;
type Parts = Partial<Record<ComposedPart, TensorProto>>;

/** The tensors that a node unpacks. */
export function packedTensors(graph: Graph, node: NodeProto): readonly TensorProto[] {
  return node.input.flatMap((name) => (name === '' ? [] : [weightOf(graph, node, name)]));
}

/** A packed weight as floats. */
export function denseSource(graph: Graph, node: NodeProto, bytes: TensorBytes): StoredMatrix {
  const unpacking = unpackingOf(node);
  if (unpacking.kind === 'composed' && unpacking.format === 'fp8') {
    return new Fp8Matrix(unpacking, partsOf(graph, node), bytes);
  }
  return new UnpackedMatrix(packedSource(graph, node, bytes));
}

/**
 * A packed weight as whole numbers.
 *
 * @throws OctavoError `model_file_corrupt` for an order of inputs that is none
 */
export function packedSource(graph: Graph, node: NodeProto, bytes: TensorBytes): PackedMatrix {
  const unpacking = unpackingOf(node);
  if (unpacking.kind === 'blocks') {
    const tensors = packedTensors(graph, node);
    const { format, rows, columns } = unpacking;
    return blockedMatrix(format, rows, columns, (at, into) => readOn(tensors, at, into, bytes));
  }
  const parts = partsOf(graph, node);
  const { format, outputs, first, rows, columns } = unpacking;
  const values = need(parts.values);
  if (format === 'int8' || format === 'w8a8') {
    const scales = rowScales(need(parts.scales), outputs, bytes).subarray(first, first + rows);
    return int8Matrix(rows, columns, scales, (at, into) =>
      bytes.read(values, first * columns + at, into),
    );
  }
  if (format === 'mxfp4') {
    const [rowBytes, groups] = [columns / 2, columns / MXFP4_GROUP];
    const scales = need(parts.scales);
    return mxfp4Matrix(
      rows,
      columns,
      (at, into) => bytes.read(values, first * rowBytes + at, into),
      (at, into) => bytes.read(scales, first * groups + at, into),
    );
  }
  const make = { gptq: gptqMatrix, awq: awqMatrix, packed: packedMatrix }[format as 'gptq'];
  try {
    return make(wordParts(unpacking, parts, bytes));
  } catch (error) {
    if (!(error instanceof OrderError)) throw error;
    const where = `${graph.file}: ${parts.order?.name ?? values.name}`;
    throw new OctavoError('model_file_corrupt', `${where} ${error.message}`);
  }
}

/** Reads from tensors whose bytes follow one another. */
function readOn(
  tensors: readonly TensorProto[],
  first: number,
  into: Uint8Array,
  bytes: TensorBytes,
): void {
  let start = 0;
  for (const tensor of tensors) {
    const end = start + byteLength(tensor);
    const from = Math.max(first, start);
    const to = Math.min(first + into.length, end);
    if (from < to) bytes.read(tensor, from - start, into.subarray(from - first, to - first));
    start = end;
  }
}

/** Scales of the outputs of an int8 weight; one may stand for all. */
export function rowScales(tensor: TensorProto, outputs: number, bytes: TensorBytes): Float32Array {
  const scales = readAll(tensor, bytes);
  return scales.length === outputs ? scales : new Float32Array(outputs).fill(scales[0]);
}

function wordParts(
  { bits, added, outputs, first, rows, columns }: Composed,
  parts: Parts,
  bytes: TensorBytes,
): WordParts {
  const ints = (tensor: TensorProto | undefined): Int32Array | null => {
    if (!tensor) return null;
    const raw = new Uint8Array(byteLength(tensor));
    bytes.read(tensor, 0, raw);
    return new Int32Array(raw.buffer);
  };
  return {
    bits,
    added,
    outputs,
    first,
    rows,
    columns,
    values: () => ints(parts.values) ?? new Int32Array(0),
    scales: readAll(need(parts.scales), bytes),
    zeros: ints(parts.zeros),
    groupOf: ints(parts.order),
  };
}

function partsOf(graph: Graph, node: NodeProto): Parts {
  return Object.fromEntries(
    COMPOSED_PARTS.flatMap((part, i) =>
      node.input[i] ? [[part, weightOf(graph, node, node.input[i])]] : [],
    ),
  );
}

function weightOf(graph: Graph, node: NodeProto, name: string): TensorProto {
  return need(graph.initializer(name), `node ${node.name} unpacks ${name}, which is no weight`);
}

function need<T>(value: T | undefined, what = 'a packed weight lacks a part'): T {
  if (value === undefined) throw new Error(what);
  return value;
}

/** Whole numbers as the floats that they mean, inputs in their own order. */
class UnpackedMatrix implements StoredMatrix {
  readonly rows: number;
  readonly columns: number;
  readonly bytes: number;
  readonly #matrix: PackedMatrix;
  #memory: Unpacked | null = null;
  #capacity = 0;

  constructor(matrix: PackedMatrix) {
    this.rows = matrix.rows;
    this.columns = matrix.columns;
    this.bytes = matrix.rows * matrix.rowBytes;
    this.#matrix = matrix;
  }

  read(first: number, count: number, into: Float32Array): void {
    const { columns } = this;
    const { group, order, origin } = this.#matrix;
    if (!this.#memory || this.#capacity < count) {
      this.#memory = memoryOf(this.#matrix, count);
      this.#capacity = count;
    }
    const memory = this.#memory;
    this.#matrix.read(first, count, memory);
    if (origin !== 'least') setLeast(this.#matrix, memory);
    const { values, scales, least } = memory;
    for (let g = 0, i = 0; i < count * columns; g++) {
      const [scale, from] = [scales[g], least[g]];
      for (const end = i + group; i < end; i++) into[i] = scale * values[i] + from;
    }
    if (!order) return;
    for (let at = 0; at < count * columns; at += columns) {
      const row = into.slice(at, at + columns);
      for (let c = 0; c < columns; c++) into[at + order[c]] = row[c];
    }
  }
}

/** Floats of 8 bits with a scale for each block. */
class Fp8Matrix implements StoredMatrix {
  readonly rows: number;
  readonly columns: number;
  readonly bytes: number;
  readonly #values: TensorProto;
  readonly #scales: Float32Array;
  readonly #first: number;
  readonly #block: readonly [rows: number, columns: number];
  readonly #bytes: TensorBytes;
  readonly #table = e4m3Table();

  constructor({ rows, columns, first, block }: Composed, parts: Parts, bytes: TensorBytes) {
    this.rows = rows;
    this.columns = columns;
    this.bytes = rows * columns;
    this.#values = need(parts.values);
    this.#scales = readAll(need(parts.scales), bytes);
    this.#first = first;
    this.#block = block;
    this.#bytes = bytes;
  }

  read(first: number, count: number, into: Float32Array): void {
    const { columns } = this;
    const start = this.#first + first;
    const raw = new Uint8Array(count * columns);
    this.#bytes.read(this.#values, start * columns, raw);
    const scales = this.#scales;
    const [height, width] = this.#block;
    const across = scales.length === 1 ? 0 : Math.ceil(columns / width);
    for (let r = 0; r < count; r++) {
      const row = Math.floor((start + r) / height) * across;
      for (let c = 0; c < columns; c += width) {
        const scale = across === 0 ? scales[0] : scales[row + c / width];
        const end = Math.min(c + width, columns);
        for (let k = c; k < end; k++)
          into[r * columns + k] = this.#table[raw[r * columns + k]] * scale;
      }
    }
  }
}
