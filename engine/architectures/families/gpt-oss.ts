import type { Config } from '../config.js';
import type { ClampedMlp, Decoder, Linear } from '../decoder.js';
import { expertsOf } from './experts.js';
import { llamaDecoder } from './llama-layers.js';
import { linear, readSizes, slidingLayers } from './parts.js';

/** Of the gate's sigmoid, in transformers' code alone. */
const ALPHA = 1.702;

/**
 * gpt-oss (OpenAI 2025): a window in every other layer, attention sinks, and experts in MXFP4, all
 * of a layer in two weights.
 */
export function gptOss(config: Config): Decoder {
  const sizes = readSizes(config);
  const { hidden, inner, heads } = sizes;
  // (Not transformers' key: GGUF files have matrices of their own for gates, and for each expert.)
  const isSplit = config.flag('gates_separate', false);
  if (!isSplit && config.inner('quantization_config')?.text('quant_method', '') !== 'mxfp4') {
    throw config.unsupported(
      'its experts are not in MXFP4 (quantization_config); gpt-oss is served from the checkpoints that are, as openai/gpt-oss-20b',
    );
  }
  const window = config.window('sliding_window', 128);
  const isSliding = slidingLayers(config, sizes.layers, (layer) => layer % 2 === 0);
  const count = config.size('num_local_experts', 128);
  const stacked = (name: string, outputs: number, inputs: number, expert: number): Linear => ({
    weight: { name, shape: [count, outputs, inputs], matrix: expert },
    bias: { name: `${name}_bias`, shape: [count, outputs], matrix: expert },
    turned: true,
  });
  const limit = config.number('swiglu_limit', 7);
  const experts = expertsOf(
    config,
    {
      count,
      perToken: config.size('num_experts_per_tok', 4),
      // A softmax over the chosen is one over all, divided by their sum.
      normalized: true,
      hidden,
      router: 'router',
      routing: (path) => ({ linear: linear(`${path}.router`, count, hidden, true) }),
    },
    (path, expert): ClampedMlp => {
      const own = (name: string, outputs: number, inputs: number): Linear =>
        isSplit
          ? linear(`${path}.experts.${expert}.${name}`, outputs, inputs, true)
          : stacked(`${path}.experts.${name}`, outputs, inputs, expert);
      return {
        kind: 'clamped-mlp',
        input: isSplit
          ? { gate: own('gate_proj', inner, hidden), up: own('up_proj', inner, hidden) }
          : { both: own('gate_up_proj', 2 * inner, hidden) },
        down: own('down_proj', hidden, inner),
        alpha: ALPHA,
        limit,
      };
    },
  );
  const bias = config.flag('attention_bias', true);
  const epsilon = config.number('rms_norm_eps', 1e-5);
  return llamaDecoder(config.with({ rms_norm_eps: epsilon }), {
    family: 'gpt_oss',
    sizes,
    theta: 150_000,
    window: (layer) => (isSliding[layer] ? window : 0),
    biases: { qkv: bias, output: bias, mlp: true },
    attention: (path) => ({ sinks: { name: `${path}.sinks`, shape: [heads] } }),
    feedForward: (path) => experts(path),
  });
}
