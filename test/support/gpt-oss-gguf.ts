import { readFileSync } from 'node:fs';
import type { StoredTensor } from '../../engine/checkpoint/stored-tensor.js';
import type { Tensor } from './checkpoint-as-gguf.js';
import { number, typeId, type WrittenTensor } from './gguf.js';
import type { GgufCase } from './gguf-case.js';

/** Numbers of a block, and the bytes that hold them in pairs. */
const BLOCK = 32;
const PAIRS = BLOCK / 2;

function bytesOf({ file, offset, bytes }: StoredTensor): Uint8Array {
  return readFileSync(file).subarray(offset, offset + bytes);
}

/**
 * Blocks of MXFP4 as GGUF has them: a scale, then the numbers of the first half of a block in the
 * low bits, those of the second in the high ones; checkpoints have neighbors in a byte.
 */
function repacked(values: Uint8Array, scale: number): Uint8Array {
  const numbers = Array.from({ length: BLOCK }, (_, i) => (values[i >> 1] >> (4 * (i % 2))) & 15);
  return Uint8Array.of(
    scale,
    ...Array.from({ length: PAIRS }, (_, i) => numbers[i] | (numbers[i + PAIRS] << 4)),
  );
}

/** Every `step`-th output of all experts, of `<path>_blocks` and `<path>_scales`. */
function mxfp4(
  tensors: ReadonlyMap<string, StoredTensor>,
  path: string,
  name: string,
  first: number,
  step: number,
): WrittenTensor {
  const [blocks, scales] = ['blocks', 'scales'].map((part) => {
    const tensor = tensors.get(`${path}_${part}`);
    if (!tensor) throw new Error(`${path}_${part}`);
    return { shape: tensor.shape, bytes: bytesOf(tensor) };
  });
  const [experts, outputs, perRow] = scales.shape;
  const data: Uint8Array[] = [];
  for (let row = 0; row < experts * outputs; row++) {
    if (row % step !== first) continue;
    for (let block = 0; block < perRow; block++) {
      const at = row * perRow + block;
      const values = blocks.bytes.subarray(at * PAIRS, (at + 1) * PAIRS);
      data.push(repacked(values, scales.bytes[at]));
    }
  }
  const shape = [experts, outputs / step, perRow * BLOCK];
  return { name, shape, type: typeId('MXFP4'), data: Buffer.concat(data) };
}

/** Gates and what they let through take turns, in biases as in matrices. */
function apart(tensor: Tensor): readonly Tensor[] {
  const [, layer] = /layers\.(\d+)\.mlp\.experts\.gate_up_proj_bias$/.exec(tensor.name) ?? [];
  if (layer === undefined) return [tensor];
  return ['gate', 'up'].map((kind, first) => ({
    name: `blk.${layer}.ffn_${kind}_exps.bias`,
    shape: [tensor.shape[0], tensor.shape[1] / 2],
    values: tensor.values.filter((_, i) => i % 2 === first),
  }));
}

export const GPT_OSS: GgufCase = {
  fixture: 'mxfp4',
  quantized: true,
  golden: 'golden-limit-7.json',
  architecture: 'gpt-oss',
  rewrite: apart,
  packed: (tensors) =>
    [...tensors.keys()].flatMap((name) => {
      const [, path, layer] =
        /^(.*layers\.(\d+)\.mlp\.experts)\.down_proj_blocks$/.exec(name) ?? [];
      if (path === undefined) return [];
      const as = (kind: string): string => `blk.${layer}.ffn_${kind}_exps.weight`;
      return [
        mxfp4(tensors, `${path}.down_proj`, as('down'), 0, 1),
        mxfp4(tensors, `${path}.gate_up_proj`, as('gate'), 0, 2),
        mxfp4(tensors, `${path}.gate_up_proj`, as('up'), 1, 2),
      ];
    }),
  names: [
    [/post_attention_layernorm/, 'post_attention_norm'],
    [/self_attn\.sinks/, 'attn_sinks.weight'],
    [/mlp\.router\./, 'ffn_gate_inp.'],
    [/mlp\.experts\.down_proj_bias/, 'ffn_down_exps.bias'],
  ],
  metadata: (config) => ({
    'attention.sliding_window': number(config['sliding_window'] as number),
    expert_count: number(config['num_local_experts'] as number),
    expert_used_count: number(config['num_experts_per_tok'] as number),
    expert_feed_forward_length: number(config['intermediate_size'] as number),
  }),
};
