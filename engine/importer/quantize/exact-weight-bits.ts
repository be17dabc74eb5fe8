import { create, toBinary } from '@bufbuild/protobuf';
import { InferenceSession, Tensor } from 'onnxruntime-node';
import { MICROSOFT, makeNode, makeValueInfo } from '../onnx/nodes.js';
import {
  GraphProtoSchema,
  ModelProtoSchema,
  OperatorSetIdProtoSchema,
  TensorProtoSchema,
  TensorProto_DataType as Type,
} from '../onnx/onnx_pb.js';
import { LARGEST_WEIGHT, type WeightBits } from './quantization.js';

/** Row counts for which ONNX Runtime has separate kernels. */
const ROWS = [1, 2, 3, 4, 6, 8, 17, 64];
const INPUTS = 128;
const OUTPUTS = 64;

/**
 * Session options that make int8 matmuls exact where they would saturate: ONNX Runtime then stores
 * weights beyond [-64, 64] as uint8, whose kernel widens each number first. It does so on any x86
 * CPU, also where VNNI is exact and far quicker, so use them only on CPUs where `exactWeightBits`
 * is not 8.
 */
export const EXACT_SUMS = { x64quantprecision: '1' } as const;

/**
 * Computes `[rows, 128] x [128, 64]` for each number of rows, with all activations at 255 (zero
 * point 128) and all weights at `weight`.
 */
export type MatmulProbe = (weight: number, rows: readonly number[]) => Promise<Float32Array[]>;

/**
 * The number of bits up to which weights give exact matmuls on this machine; null when even 7 are
 * too many.
 *
 * x86 CPUs without VNNI or AMX add two neighboring products of a u8 and an s8 in 16 bits, which
 * saturate: 2 * 255 * 127 > 32,767. It would show only in the quality of the text. ARM's
 * instructions widen first. CPU features are read in another way on each system and do not tell
 * which of them ONNX Runtime uses, so the largest products are computed once instead.
 */
export async function exactWeightBits(
  probe: MatmulProbe = (weight, rows) => runMatmuls(weight, rows),
): Promise<WeightBits | null> {
  for (const bits of [8, 7] as const) {
    const largest = LARGEST_WEIGHT[bits];
    if ((await isExact(probe, largest)) && (await isExact(probe, -largest))) return bits;
  }
  return null;
}

async function isExact(probe: MatmulProbe, weight: number): Promise<boolean> {
  const expected = (255 - 128) * weight * INPUTS;
  const outputs = await probe(weight, ROWS);
  return outputs.every((output) => output.every((value) => value === expected));
}

/** @param options session options */
export async function runMatmuls(
  weight: number,
  rows: readonly number[],
  options: Readonly<Record<string, string>> = {},
): Promise<Float32Array[]> {
  const session = await InferenceSession.create(productModel(weight), {
    executionProviders: ['cpu'],
    intraOpNumThreads: 1,
    interOpNumThreads: 1,
    extra: { session: options },
  });
  const outputs: Float32Array[] = [];
  for (const count of rows) {
    const x = new Tensor('uint8', new Uint8Array(count * INPUTS).fill(255), [1, count, INPUTS]);
    const { y } = await session.run({ x });
    outputs.push(y.data as Float32Array);
  }
  await session.release();
  return outputs;
}

function productModel(weight: number): Uint8Array {
  const node = makeNode('MatMulIntegerToFloat', 'matmul', ['x', 'w', 'one', 'one', 'zero'], ['y']);
  node.domain = MICROSOFT;
  const scalar = { dims: [] as bigint[] };
  const model = create(ModelProtoSchema, {
    irVersion: 8n,
    opsetImport: [
      create(OperatorSetIdProtoSchema, { domain: '', version: 17n }),
      create(OperatorSetIdProtoSchema, { domain: MICROSOFT, version: 1n }),
    ],
    graph: create(GraphProtoSchema, {
      name: 'probe',
      node: [node],
      initializer: [
        create(TensorProtoSchema, {
          name: 'w',
          dims: [BigInt(INPUTS), BigInt(OUTPUTS)],
          dataType: Type.INT8,
          rawData: new Uint8Array(INPUTS * OUTPUTS).fill(weight & 0xff),
        }),
        create(TensorProtoSchema, { ...scalar, name: 'one', dataType: Type.FLOAT, floatData: [1] }),
        create(TensorProtoSchema, {
          ...scalar,
          name: 'zero',
          dataType: Type.UINT8,
          rawData: Uint8Array.of(128),
        }),
      ],
      input: [makeValueInfo('x', Type.UINT8)],
      output: [makeValueInfo('y', Type.FLOAT)],
    }),
  });
  return toBinary(ModelProtoSchema, model);
}
