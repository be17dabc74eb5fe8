import { closeSync, openSync, writeSync } from 'node:fs';
import { create } from '@bufbuild/protobuf';
import {
  StringStringEntryProtoSchema,
  type TensorProto,
  TensorProto_DataLocation,
  TensorProto_DataType,
  TensorProtoSchema,
} from '../../engine/importer/onnx/onnx_pb.js';

/**
 * Numbers that are made once and repeated: a generator would take longer than the disk. A prime, so
 * that rows differ.
 */
const PATTERN_LENGTH = 1_048_573;

/** Writes weights to one external data file, from the start to the end. */
export class ExternalWeights {
  readonly #file: number;
  readonly #location: string;
  readonly #pattern: Float32Array;
  readonly #bytePattern: Uint8Array;
  /**
   * Where the next weight takes up the pattern. No two weights may be equal: ONNX Runtime keeps
   * equal ones once, and a model whose layers are all the same is read from the cache, at twice the
   * speed of memory.
   */
  #phase = 0;
  #offset = 0;

  constructor(path: string, location: string) {
    this.#file = openSync(path, 'w');
    this.#location = location;
    let state = 1;
    this.#pattern = Float32Array.from({ length: PATTERN_LENGTH }, () => {
      state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
      return (state / 2 ** 31 - 1) * Math.sqrt(3);
    });
    this.#bytePattern = Uint8Array.from(this.#pattern, (x) => (x / Math.sqrt(12) + 0.5) * 255);
  }

  /** A weight of random numbers with the given standard deviation. */
  random(name: string, dims: readonly number[], deviation: number): TensorProto {
    const length = dims.reduce((a, b) => a * b, 1);
    const scaled = this.#pattern.map((x) => x * deviation);
    const start = this.#offset;
    for (let done = 0; done < length; ) {
      const piece = scaled.subarray(this.#phase, this.#phase + length - done);
      this.#write(piece);
      done += piece.length;
      this.#phase = (this.#phase + piece.length) % PATTERN_LENGTH;
    }
    return this.#tensor(name, dims, start);
  }

  /** A weight of random bytes; for 8-bit weights, or packed smaller ones. */
  bytes(
    name: string,
    dims: readonly number[],
    type: TensorProto_DataType.INT8 | TensorProto_DataType.UINT8,
  ): TensorProto {
    const length = dims.reduce((a, b) => a * b, 1);
    const start = this.#offset;
    for (let done = 0; done < length; ) {
      const piece = this.#bytePattern.subarray(this.#phase, this.#phase + length - done);
      this.#write(piece);
      done += piece.length;
      this.#phase = (this.#phase + piece.length) % PATTERN_LENGTH;
    }
    return this.#tensor(name, dims, start, type);
  }

  /** A scalar of one byte. */
  scalarByte(name: string, type: TensorProto_DataType, value: number): TensorProto {
    return create(TensorProtoSchema, { name, dataType: type, rawData: Uint8Array.of(value) });
  }

  /** A weight with the given values. */
  values(name: string, dims: readonly number[], data: Float32Array): TensorProto {
    const start = this.#offset;
    this.#write(data);
    return this.#tensor(name, dims, start);
  }

  close(): void {
    closeSync(this.#file);
  }

  #write(data: Float32Array | Uint8Array): void {
    this.#offset += writeSync(this.#file, data);
  }

  #tensor(
    name: string,
    dims: readonly number[],
    start: number,
    dataType = TensorProto_DataType.FLOAT,
  ): TensorProto {
    const entries = { location: this.#location, offset: start, length: this.#offset - start };
    return create(TensorProtoSchema, {
      name,
      dims: dims.map(BigInt),
      dataType,
      dataLocation: TensorProto_DataLocation.EXTERNAL,
      externalData: Object.entries(entries).map(([key, value]) =>
        create(StringStringEntryProtoSchema, { key, value: String(value) }),
      ),
    });
  }
}
