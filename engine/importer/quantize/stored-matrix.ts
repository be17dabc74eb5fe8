import { closeSync, openSync, readSync } from 'node:fs';
import { OctavoError } from '../../errors.js';
import { float16Table } from '../../float16.js';
import { type TensorProto, TensorProto_DataType as Type } from '../onnx/onnx_pb.js';
import { byteLength, externalRange, isExternal } from '../tensor-data.js';

/**
 * A constant matrix of a model that is read row by row as float32, so that only a few rows are in
 * memory.
 */
export interface StoredMatrix {
  readonly rows: number;
  readonly columns: number;
  /** Bytes that one pass reads; for reporting progress. */
  readonly bytes: number;
  /** Decodes rows `first` to `first + count - 1` into the beginning of `into`. */
  read(first: number, count: number, into: Float32Array): void;
  /** Of a matrix whose numbers have 16 bits: they can be read as they are stored. */
  readonly halves?: Halves;
}

/** Numbers of float16 or bfloat16. */
export interface Halves {
  readonly isBfloat: boolean;
  /** Reads rows `first` to `first + count - 1`. */
  readonly read: (first: number, count: number, into: Uint8Array) => void;
}

/** Types of dense matrices that can be read. */
export const DENSE_TYPES: ReadonlySet<number> = new Set([Type.FLOAT, Type.FLOAT16, Type.BFLOAT16]);

/** Reads the bytes of tensors, inline or in files; keeps files open until it is closed. */
export class TensorBytes {
  readonly #modelFile: string;
  readonly #files = new Map<string, number>();

  constructor(modelFile: string) {
    this.#modelFile = modelFile;
  }

  /**
   * @param into buffer that is filled completely
   * @throws OctavoError `model_file_corrupt` when the file has become shorter since it was checked
   */
  read(tensor: TensorProto, offset: number, into: Uint8Array): void {
    if (!isExternal(tensor)) {
      into.set(inlineBytes(tensor).subarray(offset, offset + into.length));
      return;
    }
    const range = externalRange(tensor, this.#modelFile);
    let descriptor = this.#files.get(range.file);
    if (descriptor === undefined) {
      descriptor = openSync(range.file, 'r');
      this.#files.set(range.file, descriptor);
    }
    for (let done = 0; done < into.length; ) {
      const at = range.offset + BigInt(offset + done);
      const count = readSync(descriptor, into, done, into.length - done, at);
      if (count === 0) {
        throw new OctavoError(
          'model_file_corrupt',
          `${range.file}: ends while weight ${tensor.name} is read`,
        );
      }
      done += count;
    }
  }

  close(): void {
    for (const descriptor of this.#files.values()) closeSync(descriptor);
    this.#files.clear();
  }
}

/** Values may be in typed fields instead of raw bytes. */
function inlineBytes(tensor: TensorProto): Uint8Array {
  if (tensor.rawData.length > 0) return tensor.rawData;
  const typed = typedData(tensor);
  return new Uint8Array(typed.buffer, typed.byteOffset, typed.byteLength);
}

function typedData(tensor: TensorProto): Float32Array | Uint16Array | Uint8Array {
  if (tensor.dataType === Type.FLOAT) return Float32Array.from(tensor.floatData);
  const is16Bit = tensor.dataType === Type.FLOAT16 || tensor.dataType === Type.BFLOAT16;
  return is16Bit ? Uint16Array.from(tensor.int32Data) : Uint8Array.from(tensor.int32Data);
}

/** A float32, float16 or bfloat16 matrix. */
export class DenseMatrix implements StoredMatrix {
  readonly rows: number;
  readonly columns: number;
  readonly halves?: Halves;
  readonly #tensor: TensorProto;
  readonly #bytes: TensorBytes;

  constructor(tensor: TensorProto, bytes: TensorBytes) {
    [this.rows, this.columns] = tensor.dims.map(Number);
    this.#tensor = tensor;
    this.#bytes = bytes;
    if (this.#width !== 2) return;
    const isBfloat = tensor.dataType === Type.BFLOAT16;
    const read: Halves['read'] = (first, _, into) =>
      bytes.read(tensor, 2 * first * this.columns, into);
    this.halves = { isBfloat, read };
  }

  get bytes(): number {
    return this.rows * this.columns * this.#width;
  }

  read(first: number, count: number, into: Float32Array): void {
    const length = count * this.columns;
    const offset = first * this.columns * this.#width;
    if (this.#tensor.dataType === Type.FLOAT) {
      const target = new Uint8Array(into.buffer, into.byteOffset, length * 4);
      this.#bytes.read(this.#tensor, offset, target);
      return;
    }
    const halves = new Uint16Array(length);
    this.#bytes.read(this.#tensor, offset, new Uint8Array(halves.buffer));
    widen(halves, this.#tensor.dataType, into);
  }

  /**
   * Decodes columns `first` to `first + count - 1` as rows, in pieces of a row each: memory holds
   * no more than them.
   */
  readColumns(first: number, count: number, into: Float32Array): void {
    const piece = new Float32Array(count);
    const { rows } = this;
    const width = this.#width;
    const raw = width === 4 ? new Uint8Array(piece.buffer) : new Uint8Array(2 * count);
    for (let r = 0; r < rows; r++) {
      this.#bytes.read(this.#tensor, (r * this.columns + first) * width, raw);
      if (width === 2) widen(new Uint16Array(raw.buffer), this.#tensor.dataType, piece);
      for (let c = 0; c < count; c++) into[c * rows + r] = piece[c];
    }
  }

  get #width(): 2 | 4 {
    return this.#tensor.dataType === Type.FLOAT ? 4 : 2;
  }
}

/** The transpose of a matrix: its rows are the other's columns. */
export class TurnedMatrix implements StoredMatrix {
  readonly rows: number;
  readonly columns: number;
  readonly bytes: number;
  readonly #matrix: DenseMatrix;

  constructor(matrix: DenseMatrix) {
    this.#matrix = matrix;
    this.rows = matrix.columns;
    this.columns = matrix.rows;
    this.bytes = matrix.bytes;
  }

  read(first: number, count: number, into: Float32Array): void {
    this.#matrix.readColumns(first, count, into);
  }
}

/** All values of a small float tensor, such as scales, which may be powers of 2 in 8 bits, too. */
export function readAll(tensor: TensorProto, bytes: TensorBytes): Float32Array {
  const raw = new Uint8Array(byteLength(tensor));
  bytes.read(tensor, 0, raw);
  if (tensor.dataType === Type.FLOAT) return new Float32Array(raw.buffer);
  if (tensor.dataType === Type.FLOAT8E8M0) return Float32Array.from(raw, (x) => 2 ** (x - 127));
  const values = new Float32Array(raw.length / 2);
  widen(new Uint16Array(raw.buffer), tensor.dataType, values);
  return values;
}

/** Numbers of float16 or bfloat16 as float32. */
export function widen(from: Uint16Array, type: number, into: Float32Array): void {
  if (type === Type.BFLOAT16) {
    // A bfloat16 is the upper half of a float32.
    const words = new Uint32Array(into.buffer, into.byteOffset, from.length);
    for (let i = 0; i < from.length; i++) words[i] = from[i] << 16;
    return;
  }
  const table = float16Table();
  for (let i = 0; i < from.length; i++) into[i] = table[from[i]];
}
