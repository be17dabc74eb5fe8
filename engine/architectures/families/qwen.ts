import type { Config } from '../config.js';
import type { Decoder } from '../decoder.js';
import { softmaxExperts } from './experts.js';
import { gatedMlp, llamaDecoder, type Traits } from './llama-layers.js';
import { readActivation, readSizes, slidingLayers } from './parts.js';

/** Qwen 2 and 2.5: queries, keys and values have a bias (Yang et al. 2024). */
export function qwen2(config: Config): Decoder {
  return llamaDecoder(config, {
    family: 'qwen2',
    biases: { qkv: true, output: false, mlp: false },
    window: windowOf(config),
  });
}

/** Qwen 3: norms of queries and keys instead (Yang et al. 2025). */
export function qwen3(config: Config): Decoder {
  return llamaDecoder(config, { family: 'qwen3', ...qwen3Traits(config) });
}

/** Qwen 3 with experts in most layers. */
export function qwen3Moe(config: Config): Decoder {
  const sizes = readSizes(config, 128);
  const step = config.size('decoder_sparse_step', 1);
  const dense = new Set(config.list('mlp_only_layers'));
  const experts = softmaxExperts(config, {
    // (transformers 5 saves the second name.)
    count: config.count(config.has('num_experts') ? 'num_experts' : 'num_local_experts'),
    perToken: config.size('num_experts_per_tok'),
    normalized: config.flag('norm_topk_prob', false),
    hidden: sizes.hidden,
    inner: config.size('moe_intermediate_size'),
    router: 'gate',
    names: { gate: 'gate_proj', up: 'up_proj', down: 'down_proj' },
  });
  const isSparse = (layer: number): boolean => !dense.has(layer) && (layer + 1) % step === 0;
  return llamaDecoder(config, {
    family: 'qwen3_moe',
    ...qwen3Traits(config),
    feedForward: (path, layer) =>
      isSparse(layer) ? experts(path) : gatedMlp(path, sizes, readActivation(config)),
  });
}

function qwen3Traits(config: Config): Omit<Traits, 'family'> {
  const bias = config.flag('attention_bias', false);
  return {
    sizes: readSizes(config, 128),
    biases: { qkv: bias, output: bias, mlp: false },
    headNorms: 'head',
    window: windowOf(config),
  };
}

function windowOf(config: Config): (layer: number) => number {
  const window = config.flag('use_sliding_window', false)
    ? config.window('sliding_window', 4096)
    : 0;
  const first = config.number('max_window_layers', 28);
  const layers = config.count('num_hidden_layers');
  const isSliding = slidingLayers(config, layers, (layer) => layer >= first);
  return (layer) => (isSliding[layer] ? window : 0);
}
