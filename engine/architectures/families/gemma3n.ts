import type { Config } from '../config.js';
import type { Decoder, Laurel, LayerStreams, Mlp, Streams } from '../decoder.js';
import { normalQuantile } from '../normal-quantile.js';
import {
  type GemmaAttention,
  gemmaAttention,
  type Heads,
  sharedKeys,
  unusedKeys,
} from './gemma-attention.js';
import {
  bothRotations,
  layerInputAt,
  type NormOf,
  normsAround,
  readLayerInputs,
} from './gemma-layers.js';
import { gatedMlp, llamaDecoder } from './llama-layers.js';
import { linear, readActivation, readSizes, rmsNorm, type Sizes, slidingLayers } from './parts.js';

/** What configurations leave out, as those with images do. */
const DEFAULTS = {
  vocab_size: 262_400,
  hidden_size: 2048,
  intermediate_size: 16_384,
  num_hidden_layers: 35,
  num_attention_heads: 8,
  num_key_value_heads: 2,
};

/**
 * Gemma 3n, its text: streams (AltUp), a learned residual beside attention (LAuReL), sparse
 * activations, last layers that read the keys of earlier ones, vectors for each layer.
 */
export function gemma3n(stated: Config): Decoder {
  const config = stated.inside({ ...DEFAULTS, ...stated.values });
  const inner = innerSizes(config);
  const sizes = readSizes(config.with({ intermediate_size: inner[0] }), 256);
  const { hidden } = sizes;
  const epsilon = config.number('rms_norm_eps', 1e-6);
  const norm: NormOf = (path, size) => rmsNorm(path, size, epsilon);
  const attention = attentionOf(config, sizes, norm);
  const activation = readActivation(config, 'hidden_activation', 'gelu_pytorch_tanh');
  const cuts = readCuts(config, sizes.layers);
  const layerInputs = readLayerInputs(config, sizes, norm);
  const streams = readStreams(config, hidden);
  const decoder = llamaDecoder(config, {
    family: 'gemma3n',
    sizes,
    tied: true,
    norm,
    norms: normsAround,
    rotary: () => null,
    mixers: (path, layer) => [gemmaAttention(`${path}.self_attn`, layer, attention)],
    activation,
    feedForward: (path, layer): Mlp => {
      const mlp = gatedMlp(path, { hidden, inner: inner[layer] }, activation);
      const gateCut = cuts[layer];
      return gateCut === null ? mlp : { ...mlp, gateCut };
    },
    layer: (path) => ({
      laurel: laurelAt(config, `${path}.laurel`, hidden, norm),
      streams: streamsAt(config, `${path}.altup`, hidden, streams.count, norm),
      layerInput: layerInputAt(path, hidden, layerInputs.size, activation, norm),
    }),
    embeddingScale: Math.fround(Math.sqrt(hidden)),
    logitSoftcap: config.window('final_logit_softcapping', 30),
    // (Where the configuration turns their scale off, checkpoints have it still.)
    unread: [...unusedKeys(attention.keysOf), /^model\.layers\.\d+\.altup\.correct_output_scale$/],
  });
  return { ...decoder, layerInputs, streams };
}

/** Widths of the feed-forward blocks: one for all, or one for each. */
function innerSizes(config: Config): number[] {
  const layers = config.count('num_hidden_layers');
  const key = 'intermediate_size';
  if (!Array.isArray(config.values[key])) {
    const one = config.size(key);
    return Array.from({ length: layers }, () => one);
  }
  const sizes = config.numbers(key, layers) ?? [];
  if (sizes.every((size) => Number.isSafeInteger(size) && size > 0)) return sizes;
  throw config.wrong(key, 'whole numbers above 0');
}

/**
 * By layer: how many standard deviations above their mean gates are cut at, so that the stated
 * share of them becomes 0; null where none is.
 */
function readCuts(config: Config, layers: number): (number | null)[] {
  // (Not transformers' key: GGUF files state the deviations themselves.)
  const stated = config.values['activation_sparsity_scale'];
  if (Array.isArray(stated)) return stated.map((cut) => (typeof cut === 'number' ? cut : null));
  const key = 'activation_sparsity_pattern';
  const usual = (_: unknown, layer: number): number => (layers > 10 && layer < 10 ? 0.95 : 0);
  const cuts = config.numbers(key, layers) ?? Array.from({ length: layers }, usual);
  if (!cuts.every((cut) => cut >= 0 && cut < 1)) {
    throw config.wrong(key, 'numbers from 0 to below 1');
  }
  return cuts.map((cut) => (cut > 0 ? normalQuantile(cut) : null));
}

function attentionOf(config: Config, sizes: Sizes, norm: NormOf): GemmaAttention {
  const isSliding = slidingLayers(config, sizes.layers, (layer) => (layer + 1) % 5 !== 0);
  const heads: Heads = { headSize: sizes.headSize, numKvHeads: sizes.kvHeads };
  const { sliding, full } = bothRotations(config, sizes);
  return {
    hidden: sizes.hidden,
    numHeads: sizes.heads,
    hasBias: config.flag('attention_bias', false),
    isSliding,
    keysOf: sharedKeys(config, isSliding, 15),
    window: config.size('sliding_window', 512),
    sliding: { ...heads, rotary: sliding },
    full: { ...heads, rotary: full },
    keysAreValues: false,
    norm,
  };
}

function readStreams(config: Config, hidden: number): Streams {
  const count = config.count('altup_num_inputs', 4);
  const active = config.number('altup_active_idx', 0);
  if (!(Number.isSafeInteger(active) && active >= 0 && active < count)) {
    throw config.wrong('altup_active_idx', `a whole number below ${count}`);
  }
  const others = (name: string) =>
    Array.from({ length: count - 1 }, (_, i) => linear(`model.${name}.${i}`, hidden, hidden));
  return {
    count,
    active,
    spread: others('altup_projections'),
    merged: others('altup_unembed_projections'),
  };
}

function streamsAt(
  config: Config,
  path: string,
  hidden: number,
  count: number,
  norm: NormOf,
): LayerStreams {
  const scale = { name: `${path}.correct_output_scale`, shape: [hidden] };
  return {
    norm: norm(`${path}.router_norm`, hidden),
    routerScale: 1 / hidden,
    router: linear(`${path}.modality_router`, count, hidden),
    prediction: linear(`${path}.prediction_coefs`, count * count, count),
    correction: linear(`${path}.correction_coefs`, count, count),
    scale: config.flag('altup_correct_scale', true) ? scale : null,
  };
}

function laurelAt(config: Config, path: string, hidden: number, norm: NormOf): Laurel {
  const rank = config.size('laurel_rank', 64);
  return {
    left: linear(`${path}.linear_left`, rank, hidden),
    right: linear(`${path}.linear_right`, hidden, rank),
    norm: norm(`${path}.post_laurel_norm`, hidden),
  };
}
