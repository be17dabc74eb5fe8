import { TensorProto_DataType as Type } from '../../engine/importer/onnx/onnx_pb.js';
import type { ExternalWeights } from './external-weights.js';
import type { OnnxBuilder } from './onnx-builder.js';

/**
 * How the weights of matmuls are stored: as they are; as ONNX Runtime's dynamic
 * quantization leaves them (8-bit weights, one scale for all activations of a matmul); or as its
 * MatMulNBits tool does (4 bits, blocks of 32).
 */
export type Precision = 'fp32' | 'q8' | 'q4';

/** `x` times a random matrix; returns the matmul's name. */
export type Matmul = (
  name: string,
  x: string,
  from: number,
  to: number,
  deviation: number,
) => string;

const BLOCK = 32;

/** Deviation of bytes, or of 4-bit values, that are spread evenly. */
const BYTE_DEVIATION = 256 / Math.sqrt(12);
const NIBBLE_DEVIATION = 16 / Math.sqrt(12);

export function matmulsOf(b: OnnxBuilder, weights: ExternalWeights, precision: Precision): Matmul {
  switch (precision) {
    case 'fp32':
      return (name, x, from, to, deviation) => {
        b.weights.push(weights.random(`${name}.weight`, [from, to], deviation));
        return b.node('MatMul', name, [x, `${name}.weight`]);
      };
    case 'q8':
      return dynamicMatmuls(b, weights);
    case 'q4':
      return fourBitMatmuls(b, weights);
  }
}

/** onnxruntime.quantization.quantize_dynamic: matmuls of one input share its quantization. */
function dynamicMatmuls(b: OnnxBuilder, weights: ExternalWeights): Matmul {
  const quantized = new Map<string, readonly [string, string, string]>();
  const quantize = (x: string): readonly [string, string, string] => {
    const known = quantized.get(x);
    if (known) return known;
    const outputs = [`${x}_quantized`, `${x}_scale`, `${x}_zero_point`] as const;
    b.node('DynamicQuantizeLinear', `${x}_QuantizeLinear`, [x], { outputs });
    quantized.set(x, outputs);
    return outputs;
  };
  return (name, x, from, to, deviation) => {
    const [data, scale, zero] = quantize(x);
    b.weights.push(weights.bytes(`${name}.weight_quantized`, [from, to], Type.INT8));
    b.weights.push(weights.scalarByte(`${name}.weight_zero_point`, Type.INT8, 0));
    const weightScale = b.weight(
      `${name}.weight_scale`,
      [],
      Float32Array.of(deviation / BYTE_DEVIATION),
    );
    const integer = b.node('MatMulInteger', `${name}_quant`, [
      data,
      `${name}.weight_quantized`,
      zero,
      `${name}.weight_zero_point`,
    ]);
    const cast = b.node('Cast', `${name}_cast`, [integer], { attributes: { to: Type.FLOAT } });
    const scales = b.node('Mul', `${name}_scales`, [scale, weightScale]);
    return b.node('Mul', name, [cast, scales]);
  };
}

/** MatMulNBits with accuracy level 4 (int8 activations inside), which is the fastest on a CPU. */
function fourBitMatmuls(b: OnnxBuilder, weights: ExternalWeights): Matmul {
  return (name, x, from, to, deviation) => {
    const blocks = from / BLOCK;
    b.weights.push(weights.bytes(`${name}.weight_Q4`, [to, blocks, BLOCK / 2], Type.UINT8));
    const scales = new Float32Array(to * blocks).fill(deviation / NIBBLE_DEVIATION);
    b.weights.push(weights.values(`${name}.weight_scales`, [to * blocks], scales));
    const attributes = { K: from, N: to, bits: 4, block_size: BLOCK, accuracy_level: 4 };
    const inputs = [x, `${name}.weight_Q4`, `${name}.weight_scales`];
    return b.contrib('MatMulNBits', name, inputs, attributes);
  };
}
