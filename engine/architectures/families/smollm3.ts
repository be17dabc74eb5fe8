import type { Config } from '../config.js';
import type { Decoder } from '../decoder.js';
import { llamaDecoder } from './llama-layers.js';
import { readSizes, rotaryOf, slidingLayers } from './parts.js';

/** SmolLM 3: every fourth layer has no positions. */
export function smollm3(config: Config): Decoder {
  const sizes = readSizes(config);
  const { layers } = sizes;
  const interval = config.size('no_rope_layer_interval', 4);
  const stated = config.numbers('no_rope_layers', layers);
  const rotates = (layer: number): boolean =>
    stated ? stated[layer] !== 0 : (layer + 1) % interval !== 0;
  const window = config.flag('use_sliding_window', false) ? config.window('sliding_window', 0) : 0;
  const isSliding = slidingLayers(config, layers, (layer) => !rotates(layer));
  const rotary = rotaryOf(config, { ...sizes, theta: 2_000_000 });
  const bias = config.flag('attention_bias', false);
  return llamaDecoder(config, {
    family: 'smollm3',
    sizes,
    tied: true,
    biases: { qkv: bias, output: bias, mlp: config.flag('mlp_bias', false) },
    rotary: (layer) => (rotates(layer) ? rotary : null),
    window: (layer) => (isSliding[layer] ? window : 0),
  });
}
