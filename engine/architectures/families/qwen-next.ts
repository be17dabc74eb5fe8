import type { Config } from '../config.js';
import type { Decoder, DeltaNet, FeedForward } from '../decoder.js';
import { softmaxExperts } from './experts.js';
import { gatedMlp, llamaDecoder, type Traits } from './llama-layers.js';
import { convolution } from './mamba.js';
import {
  layerKinds,
  linear,
  readActivation,
  readSizes,
  rmsNorm,
  rotaryOf,
  type Sizes,
} from './parts.js';

/** Qwen3-Next: gated DeltaNet, gated attention in every fourth layer, and experts. */
export function qwen3Next(config: Config): Decoder {
  const sizes = readSizes(config, 256);
  return llamaDecoder(config, {
    family: 'qwen3_next',
    ...traitsOf(config, sizes, {
      // GGUF files have the first of the two in parts.
      values: config.flag('linear_values_separate', false) ? 'separate' : 'by-head',
      steps: 'by-head',
    }),
    feedForward: feedForwards(config, sizes),
  });
}

/** Qwen 3.5: the same layers with other projections, and one feed-forward block. */
export function qwen35(config: Config): Decoder {
  const sizes = readSizes(config, 256);
  return llamaDecoder(config, {
    family: 'qwen3_5_text',
    ...traitsOf(config, sizes, SEPARATE),
  });
}

/** Qwen 3.5 with experts in each layer. */
export function qwen35Moe(config: Config): Decoder {
  const sizes = readSizes(config.with({ intermediate_size: 1 }), 256);
  return llamaDecoder(config, {
    family: 'qwen3_5_moe_text',
    ...traitsOf(config, sizes, SEPARATE),
    feedForward: feedForwards(config, sizes),
  });
}

/** Whether projections are matrices of their own, or one that goes head by head. */
interface ProjectionKind {
  readonly values: 'separate' | 'by-head';
  readonly steps: 'separate' | 'by-head';
}

const SEPARATE: ProjectionKind = { values: 'separate', steps: 'separate' };

/** Of the prediction head (`draft-layers/describe-mtp.ts`), without which a text is the same. */
const MTP = /^mtp\./;

function traitsOf(
  config: Config,
  sizes: Sizes,
  projections: ProjectionKind,
): Omit<Traits, 'family'> {
  const { layers, hidden, heads, kvHeads, headSize } = sizes;
  const epsilon = config.number('rms_norm_eps', 1e-6);
  const interval = config.size('full_attention_interval', 4);
  const kinds =
    layerKinds(config, layers, ['layer_types'], ['full_attention', 'linear_attention']) ??
    Array.from({ length: layers }, (_, layer) =>
      (layer + 1) % interval === 0 ? 'full_attention' : 'linear_attention',
    );
  const bias = config.flag('attention_bias', false);
  const rotary = rotaryOf(config, { ...sizes, part: 0.25 });
  return {
    sizes,
    norm: (path, size) => rmsNorm(path, size, epsilon, 1),
    rotary: () => rotary,
    biases: { qkv: bias, output: bias, mlp: false },
    headNorms: 'head',
    attention: (path) => ({
      projections: {
        kind: 'gated',
        queryGate: linear(`${path}.q_proj`, 2 * heads * headSize, hidden, bias),
        key: linear(`${path}.k_proj`, kvHeads * headSize, hidden, bias),
        value: linear(`${path}.v_proj`, kvHeads * headSize, hidden, bias),
      },
    }),
    mixers: (path, layer, attention) => [
      kinds[layer] === 'full_attention'
        ? attention()
        : deltaNet(config, `${path}.linear_attn`, hidden, projections),
    ],
    unread: [MTP],
  };
}

function deltaNet(config: Config, path: string, hidden: number, kind: ProjectionKind): DeltaNet {
  const numKeyHeads = config.size('linear_num_key_heads', 16);
  const numValueHeads = config.size('linear_num_value_heads', 32);
  const keySize = config.size('linear_key_head_dim', 128);
  const valueSize = config.size('linear_value_head_dim', 128);
  if (numValueHeads % numKeyHeads !== 0) {
    throw config.wrong('linear_num_key_heads', `a divisor of ${numValueHeads}`);
  }
  if (readActivation(config) !== 'silu') throw config.wrong('hidden_act', 'silu');
  const [keys, values] = [numKeyHeads * keySize, numValueHeads * valueSize];
  const channels = 2 * keys + values;
  const perHead = (name: string) => ({ name: `${path}.${name}`, shape: [numValueHeads] });
  const projection = (name: string, outputs: number) => linear(`${path}.${name}`, outputs, hidden);
  return {
    kind: 'delta-net',
    numKeyHeads,
    numValueHeads,
    keySize,
    valueSize,
    valueHeads: config.flag('linear_values_strided', false) ? 'strided' : 'neighbors',
    projections: {
      values:
        kind.values === 'separate'
          ? {
              kind: kind.values,
              queryKeyValue: projection('in_proj_qkv', channels),
              gate: projection('in_proj_z', values),
            }
          : {
              kind: kind.values,
              queryKeyValueGate: projection('in_proj_qkvz', channels + values),
            },
      steps:
        kind.steps === 'separate'
          ? {
              kind: kind.steps,
              rate: projection('in_proj_b', numValueHeads),
              step: projection('in_proj_a', numValueHeads),
            }
          : { kind: kind.steps, rateStep: projection('in_proj_ba', 2 * numValueHeads) },
    },
    convolution: convolution(
      `${path}.conv1d`,
      channels,
      config.size('linear_conv_kernel_dim', 4),
      false,
    ),
    fading: { stepBias: perHead('dt_bias'), rate: { weight: perHead('A_log'), form: 'log' } },
    norm: rmsNorm(`${path}.norm`, valueSize, config.number('rms_norm_eps', 1e-6)),
    output: linear(`${path}.out_proj`, hidden, values),
  };
}

/** Experts, and one that all tokens share behind a gate; in some layers, a block without. */
function feedForwards(config: Config, sizes: Sizes): (path: string, layer: number) => FeedForward {
  const { hidden } = sizes;
  const activation = readActivation(config);
  const step = config.size('decoder_sparse_step', 1);
  const dense = new Set(config.list('mlp_only_layers'));
  const inner = config.size('shared_expert_intermediate_size', 512);
  const experts = softmaxExperts(config, {
    count: config.count(config.has('num_experts') ? 'num_experts' : 'num_local_experts'),
    perToken: config.size('num_experts_per_tok', 10),
    normalized: config.flag('norm_topk_prob', true),
    hidden,
    inner: config.size('moe_intermediate_size', 512),
    router: 'gate',
    names: { gate: 'gate_proj', up: 'up_proj', down: 'down_proj' },
    shared: (path) => ({
      mlp: gatedMlp(`${path}.shared_expert`, { hidden, inner }, activation),
      gate: linear(`${path}.shared_expert_gate`, 1, hidden),
    }),
  });
  const isSparse = (layer: number): boolean => !dense.has(layer) && (layer + 1) % step === 0;
  return (path, layer) => (isSparse(layer) ? experts(path) : gatedMlp(path, sizes, activation));
}
