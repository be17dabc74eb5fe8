import type { Config } from '../config.js';
import type { Decoder } from '../decoder.js';
import { softmaxExperts } from './experts.js';
import { llamaDecoder } from './llama-layers.js';

/** Mixtral: Mistral with eight experts in each layer (Jiang et al. 2024). */
export function mixtral(config: Config): Decoder {
  const window = config.window('sliding_window', 0);
  const epsilon = config.number('rms_norm_eps', 1e-5);
  const experts = softmaxExperts(config, {
    count: config.count('num_local_experts', 8),
    perToken: config.size('num_experts_per_tok', 2),
    normalized: true,
    hidden: config.size('hidden_size'),
    inner: config.size('intermediate_size'),
    router: 'gate',
    names: { gate: 'w1', up: 'w3', down: 'w2' },
  });
  return llamaDecoder(config.with({ rms_norm_eps: epsilon }), {
    family: 'mixtral',
    window: () => window,
    feedForward: (path) => experts(path.replace(/mlp$/, 'block_sparse_moe')),
  });
}
