import type { Config } from '../config.js';
import type { Decoder } from '../decoder.js';
import { llamaDecoder, packedMlp } from './llama-layers.js';
import { linear, outputsOf, readActivation, readSizes, rmsNorm, rotaryOf } from './parts.js';

/** Phi 3 and 4: packed matrices, and LongRoPE in the long ones (Abdin et al. 2024). */
export function phi3(config: Config): Decoder {
  const sizes = readSizes(config);
  const { hidden, heads, kvHeads, headSize } = sizes;
  const window = config.window('sliding_window', 0);
  const epsilon = config.number('rms_norm_eps', 1e-5);
  const activation = readActivation(config);
  const rotary = rotaryOf(withLongRope(config), sizes);
  const [queries, keys] = [heads * headSize, kvHeads * headSize];
  return llamaDecoder(config, {
    family: 'phi3',
    sizes,
    norm: (path, size) => rmsNorm(path, size, epsilon),
    rotary: () => rotary,
    window: () => window,
    feedForward: (path) => packedMlp(path, sizes, activation),
    attention: (path) => {
      const all = linear(`${path}.qkv_proj`, queries + 2 * keys, hidden);
      return {
        projections: {
          kind: 'separate',
          query: outputsOf(all, 0, queries),
          key: outputsOf(all, queries, keys),
          value: outputsOf(all, queries + keys, keys),
        },
      };
    },
  });
}

/** Early configurations call LongRoPE by other names. */
function withLongRope(config: Config): Config {
  for (const key of ['rope_parameters', 'rope_scaling']) {
    const inner = config.inner(key);
    const name = inner?.text(inner.has('rope_type') ? 'rope_type' : 'type', 'default');
    if (inner && (name === 'su' || name === 'yarn')) {
      return config.with({ [key]: inner.with({ rope_type: 'longrope' }).values });
    }
  }
  return config;
}
