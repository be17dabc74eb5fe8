import { clip } from '../../clip.js';
import type { Config } from '../config.js';
import type { Decoder, MlpAndExperts } from '../decoder.js';
import { expertsOf } from './experts.js';
import {
  type GemmaAttention,
  gemmaAttention,
  type Heads,
  rotaryOfKind,
  sharedKeys,
  unusedKeys,
} from './gemma-attention.js';
import { layerInputAt, type NormOf, normsAround, readLayerInputs } from './gemma-layers.js';
import { gatedMlp, llamaDecoder } from './llama-layers.js';
import {
  outputsOf,
  readActivation,
  readSizes,
  rmsNorm,
  type Sizes,
  slidingLayers,
  stacked,
} from './parts.js';

/** What configurations leave out, as those with images do. */
const DEFAULTS = {
  vocab_size: 262_144,
  hidden_size: 2304,
  intermediate_size: 9216,
  num_hidden_layers: 30,
  num_attention_heads: 8,
  num_key_value_heads: 4,
};
/** Rotations where none is stated, by kind of layer. */
const ROTATIONS = {
  sliding_attention: { rope_type: 'default', rope_theta: 10_000 },
  full_attention: {
    rope_type: 'proportional',
    partial_rotary_factor: 0.25,
    rope_theta: 1_000_000,
  },
};

/**
 * Gemma 4, its text: larger heads in full layers, last layers that read the keys of earlier ones,
 * vectors for each layer, experts beside the feed-forward block.
 */
export function gemma4(stated: Config): Decoder {
  const rope = stated.inner('rope_parameters')?.values ?? ROTATIONS;
  const config = stated.inside({ ...DEFAULTS, ...stated.values, rope_parameters: rope });
  if (config.has('use_bidirectional_attention')) refuseBidirectional(config);
  const sizes = readSizes(config, 256);
  const { hidden, inner } = sizes;
  const epsilon = config.number('rms_norm_eps', 1e-6);
  const norm: NormOf = (path, size) => rmsNorm(path, size, epsilon);
  const attention = attentionOf(config, sizes, norm);
  const activation = readActivation(config, 'hidden_activation', 'gelu_pytorch_tanh');
  const isDoubled = config.flag('use_double_wide_mlp', false);
  const experts = config.flag('enable_moe_block', false) ? expertsAt(config, sizes, norm) : null;
  const isNarrow = config.window('hidden_size_per_layer_input', 256) === 0;
  const inputs = isNarrow ? null : readLayerInputs(config, sizes, norm);
  const decoder = llamaDecoder(config, {
    family: 'gemma4',
    sizes,
    tied: true,
    norm,
    norms: (path, of) => {
      const { attention: around, feedForward } = normsAround(path, of);
      return {
        attention: around,
        feedForward: experts ? { ...feedForward, before: null } : feedForward,
      };
    },
    rotary: () => null,
    mixers: (path, layer) => [gemmaAttention(`${path}.self_attn`, layer, attention)],
    activation,
    feedForward: (path, layer) => {
      const width = isDoubled && attention.keysOf[layer] !== null ? 2 * inner : inner;
      const mlp = gatedMlp(path, { hidden, inner: width }, activation);
      return experts ? experts(path.replace(/\.mlp$/, ''), mlp) : mlp;
    },
    layer: (path) => ({
      outputScale: { name: `${path}.layer_scalar`, shape: [1] },
      ...(inputs && { layerInput: layerInputAt(path, hidden, inputs.size, activation, norm) }),
    }),
    embeddingScale: Math.fround(Math.sqrt(hidden)),
    logitSoftcap: config.window('final_logit_softcapping', 0),
    unread: unusedKeys(attention.keysOf),
  });
  return inputs ? { ...decoder, layerInputs: inputs } : decoder;
}

/** Gemma 4 without encoders of images and audio (12B), its text: no vectors, no experts. */
export function gemma4Unified(stated: Config): Decoder {
  const own = { hidden_size_per_layer_input: 0, enable_moe_block: false };
  return gemma4(stated.inside({ sliding_window: 1024, ...stated.values, ...own }));
}

/** `vision` concerns images alone. */
function refuseBidirectional(config: Config): void {
  const kind = config.text('use_bidirectional_attention');
  if (kind === 'vision') return;
  throw config.unsupported(
    `use_bidirectional_attention is ${JSON.stringify(kind)}; only causal attention is served`,
  );
}

function attentionOf(
  config: Config,
  { hidden, heads, kvHeads, headSize, layers }: Sizes,
  norm: NormOf,
): GemmaAttention {
  const isSliding = slidingLayers(config, layers, (layer) => (layer + 1) % 6 !== 0);
  isSliding[layers - 1] = false;
  const keysAreValues = config.flag('attention_k_eq_v', false);
  const usual: Heads = { headSize, numKvHeads: kvHeads };
  const full = fullHeads(config, usual, isSliding, keysAreValues);
  if (heads % full.numKvHeads !== 0) {
    throw config.unsupported(`${heads} heads share ${full.numKvHeads} heads of full layers' keys`);
  }
  return {
    hidden,
    numHeads: heads,
    hasBias: config.flag('attention_bias', false),
    isSliding,
    keysOf: sharedKeys(config, isSliding, 0),
    window: config.size('sliding_window', 512),
    sliding: { ...usual, rotary: rotaryOfKind(config, 'sliding_attention', headSize) },
    full: { ...full, rotary: rotaryOfKind(config, 'full_attention', full.headSize) },
    keysAreValues,
    norm,
  };
}

/**
 * The heads of full layers: as published configurations state them, or layer by layer, as
 * transformers saves them.
 */
function fullHeads(
  config: Config,
  usual: Heads,
  isSliding: readonly boolean[],
  keysAreValues: boolean,
): Heads {
  const saved = config.inner('per_layer_config');
  if (!saved) {
    const ofKeys = 'num_global_key_value_heads';
    return {
      headSize: config.size('global_head_dim', 512),
      numKvHeads: keysAreValues ? config.size(ofKeys, usual.numKvHeads) : usual.numKvHeads,
    };
  }
  const heads = isSliding.map((_, layer): Heads => {
    const own = saved.inner(String(layer)) ?? saved.inside({});
    const other = own.keys().find((key) => !SAVED.includes(key));
    if (other !== undefined) {
      throw config.unsupported(
        `per_layer_config of layer ${layer} has ${clip(other)}; read are ${SAVED.join(', ')}`,
      );
    }
    return {
      headSize: own.size('head_dim', usual.headSize),
      numKvHeads: own.size('num_key_value_heads', usual.numKvHeads),
    };
  });
  const full = heads[heads.length - 1];
  for (const [layer, { headSize, numKvHeads }] of heads.entries()) {
    const expected = isSliding[layer] ? usual : full;
    if (headSize === expected.headSize && numKvHeads === expected.numKvHeads) continue;
    throw config.unsupported(
      `per_layer_config of layer ${layer} has other heads than layers of its kind`,
    );
  }
  return full;
}

const SAVED = ['head_dim', 'num_key_value_heads'];

/** All experts of a layer are in two tensors, gate and up as two halves of the first. */
function expertsAt(
  config: Config,
  { hidden }: Sizes,
  norm: NormOf,
): (path: string, mlp: MlpAndExperts['mlp']) => MlpAndExperts {
  const count = config.count('num_experts');
  const inner = config.size('moe_intermediate_size');
  const perToken = config.size('top_k_experts');
  if (perToken > count) throw config.wrong('top_k_experts', `at most ${count}`);
  const activation = readActivation(config, 'hidden_activation', 'gelu_pytorch_tanh');
  const scaleOf = (path: string, name: string, size: number) => ({
    name: `${path}.router.${name}`,
    shape: [size],
  });
  const experts = expertsOf(
    config,
    {
      count,
      perToken,
      normalized: true,
      hidden,
      router: 'router.proj',
      routing: (path) => ({
        input: {
          norm: { ...norm('', hidden), weight: scaleOf(path, 'scale', hidden) },
          scale: hidden ** -0.5,
        },
        expertScales: scaleOf(path, 'per_expert_scale', count),
      }),
    },
    (path, expert) => {
      // (Not transformers' key: GGUF files are read as if each expert had matrices of its own.)
      if (config.flag('gates_separate', false)) {
        return gatedMlp(`${path}.experts.${expert}`, { hidden, inner }, activation);
      }
      const both = stacked(`${path}.experts.gate_up_proj`, [count, 2 * inner, hidden], expert);
      return {
        kind: 'mlp',
        activation,
        gate: outputsOf(both, 0, inner),
        up: outputsOf(both, inner, inner),
        down: stacked(`${path}.experts.down_proj`, [count, hidden, inner], expert),
      };
    },
  );
  return (path, mlp) => ({
    kind: 'mlp-and-experts',
    mlp,
    mlpNorms: {
      before: norm(`${path}.pre_feedforward_layernorm`, hidden),
      after: norm(`${path}.post_feedforward_layernorm_1`, hidden),
    },
    experts: experts(path),
    expertNorms: {
      before: norm(`${path}.pre_feedforward_layernorm_2`, hidden),
      after: norm(`${path}.post_feedforward_layernorm_2`, hidden),
    },
  });
}
