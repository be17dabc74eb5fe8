import type { Block, Packing } from '../checkpoint/composed/packing.js';
import { clip } from '../clip.js';
import type { Config } from './config.js';

const METHODS = 'awq, gptq, compressed-tensors, fp8 and mxfp4';
const FORMATS = [
  'pack-quantized',
  'int-quantized',
  'float-quantized',
  'naive-quantized',
  'mixed-precision',
  'dense',
];

/**
 * How a checkpoint's weights are quantized, by its `quantization_config`; null: they are not.
 *
 * @throws OctavoError `model_unsupported` for a form that is not read, `model_file_corrupt`
 */
export function packingOf(config: Config): Packing | null {
  const own = config.inner('quantization_config') ?? config.inner('compression_config');
  if (!own) return null;
  const method = own.text('quant_method', own.has('config_groups') ? 'compressed-tensors' : '');
  switch (method) {
    case 'gptq':
      return gptq(own);
    case 'awq':
      return awq(own);
    case 'compressed-tensors':
      return compressedTensors(own);
    case 'fp8':
      return fp8(own);
    case 'mxfp4':
      return { method: 'mxfp4' };
    case 'fbgemm_fp8':
      return { method: 'fp8', block: null };
    default:
      throw own.unsupported(
        `its weights are quantized (quantization_config: ${clip(method || 'no quant_method')}); served are ${METHODS}, and float32, float16 and ` +
          'bfloat16: take the model that it was made of, and --quantize',
      );
  }
}

function gptq(config: Config): Packing {
  const bits = config.number('bits');
  if (![2, 4, 8].includes(bits)) throw refused(config, `GPTQ of ${bits} bits`, '2, 4 and 8 bits');
  const format = config.text('checkpoint_format', 'gptq');
  if (format !== 'gptq' && format !== 'gptq_v2') {
    throw refused(config, `the checkpoint_format ${clip(format)}`, 'gptq and gptq_v2');
  }
  return { method: 'gptq', added: format === 'gptq' ? 1 : 0 };
}

function awq(config: Config): Packing {
  const bits = config.number(config.has('bits') ? 'bits' : 'w_bit', 4);
  if (bits !== 4) throw refused(config, `AWQ of ${bits} bits`, '4 bits');
  const format = config.text(config.has('version') ? 'version' : 'format', 'gemm').toLowerCase();
  if (format !== 'gemm') throw refused(config, `AWQ packed for ${clip(format)}`, 'gemm');
  return { method: 'awq' };
}

function fp8(config: Config): Packing {
  const kind = config.text('fmt', 'e4m3');
  if (kind !== 'e4m3' && kind !== 'float8_e4m3fn') {
    throw refused(config, `FP8 of ${clip(kind)}`, 'e4m3');
  }
  return { method: 'fp8', block: blockOf(config, 'weight_block_size') };
}

function blockOf(config: Config, key: string): Block | null {
  const sizes = config.numbers(key, 2);
  if (!sizes) return null;
  if (!sizes.every((size) => Number.isSafeInteger(size) && size > 0)) {
    throw config.wrong(key, 'two whole numbers above 0');
  }
  return [sizes[0], sizes[1]];
}

function compressedTensors(config: Config): Packing {
  const format = config.text('format', 'mixed-precision');
  if (!FORMATS.includes(format)) throw refused(config, `the format ${clip(format)}`, served());
  const status = config.text('quantization_status', 'compressed');
  if (status !== 'compressed') {
    throw refused(config, `the quantization_status ${clip(status)}`, 'compressed');
  }
  // Rotations of activations that the graph would have to compute.
  if ((config.inner('transform_config')?.inner('config_groups')?.keys().length ?? 0) > 0) {
    throw refused(config, 'a transform_config', 'weights without transforms');
  }
  const sparsity = config.inner('sparsity_config')?.text('format', 'dense') ?? 'dense';
  if (sparsity !== 'dense') {
    throw refused(config, `the sparsity format ${clip(sparsity)}`, 'dense weights');
  }
  const groups = config.inner('config_groups');
  const schemes = (groups?.keys() ?? []).flatMap((key) => groups?.inner(key) ?? []);
  let block: Block | null = null;
  let hasActivations = false;
  for (const scheme of schemes) {
    const own = scheme.text('format', format);
    if (!FORMATS.includes(own)) throw refused(config, `the format ${clip(own)}`, served());
    const weights = scheme.inner('weights');
    if (!weights) continue;
    const kind = `${weights.text('type', 'int')}${weights.number('num_bits', 8)}`;
    if (!['int4', 'int8', 'float8'].includes(kind)) {
      throw refused(config, `weights of ${clip(kind)}`, 'int4, int8 and float8');
    }
    if (weights.has('block_structure')) block = blockOf(weights, 'block_structure');
    const activations = scheme.inner('input_activations');
    if (activations && kind === 'int8' && own !== 'pack-quantized') hasActivations = true;
  }
  return { method: 'compressed-tensors', hasActivations, block };
}

const served = (): string => FORMATS.filter((name) => name !== 'dense').join(', ');

function refused(config: Config, what: string, allowed: string): Error {
  return config.unsupported(`quantization_config: ${what} is not served; ${allowed} are`);
}
