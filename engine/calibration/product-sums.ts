import { create, toBinary } from '@bufbuild/protobuf';
import { InferenceSession, Tensor } from 'onnxruntime-node';
import { freeBuffers } from '../free-buffers.js';
import { makeNode, makeValueInfo } from '../importer/onnx/nodes.js';
import {
  GraphProtoSchema,
  ModelProtoSchema,
  OperatorSetIdProtoSchema,
  TensorProto_DataType as Type,
} from '../importer/onnx/onnx_pb.js';
import type { InputBlock } from '../importer/quantize/calibration.js';

/** Adds products of activations, with ONNX Runtime's matmul: sums + X^T X, in float32. */
export class ProductSums {
  readonly #session: InferenceSession;

  private constructor(session: InferenceSession) {
    this.#session = session;
  }

  /** @param threads of ONNX Runtime */
  static async create(threads: number): Promise<ProductSums> {
    const session = await InferenceSession.create(productModel(), {
      executionProviders: ['cpu'],
      intraOpNumThreads: threads,
      interOpNumThreads: 1,
      // Rows and widths differ from run to run.
      enableMemPattern: false,
      extra: { session: { force_spinning_stop: '1' } },
    });
    return new ProductSums(session);
  }

  /**
   * Adds the products of some rows.
   *
   * @param rows `[T, width]`; stays its owner's. No rows: nothing happens
   * @param sums `[size, size]`; given up
   * @returns the new sums
   */
  async add(
    rows: Float32Array,
    width: number,
    { start, size }: InputBlock,
    sums: Float32Array,
  ): Promise<Float32Array> {
    const count = rows.length / width;
    if (count === 0) return sums;
    const own = size === width ? rows : columnsOf(rows, width, start, size);
    const x = new Tensor('float32', own, [count, size]);
    const before = new Tensor('float32', sums, [size, size]);
    const { y } = await this.#session.run({ x, before });
    if (!(y.data instanceof Float32Array)) throw new Error(`expected float32, got ${y.type}`);
    if (sums.buffer instanceof ArrayBuffer) freeBuffers([sums.buffer]);
    return y.data;
  }

  close(): Promise<void> {
    return this.#session.release();
  }
}

function columnsOf(rows: Float32Array, width: number, start: number, size: number): Float32Array {
  const count = rows.length / width;
  const own = new Float32Array(count * size);
  for (let row = 0; row < count; row++) {
    const from = row * width + start;
    own.set(rows.subarray(from, from + size), row * size);
  }
  return own;
}

function productModel(): Uint8Array {
  const node = makeNode('Gemm', 'sums', ['x', 'x', 'before'], ['y'], { transA: 1 });
  const model = create(ModelProtoSchema, {
    irVersion: 8n,
    opsetImport: [create(OperatorSetIdProtoSchema, { domain: '', version: 17n })],
    graph: create(GraphProtoSchema, {
      name: 'sums',
      node: [node],
      input: ['x', 'before'].map((name) => makeValueInfo(name, Type.FLOAT)),
      output: [makeValueInfo('y', Type.FLOAT)],
    }),
  });
  return toBinary(ModelProtoSchema, model);
}
