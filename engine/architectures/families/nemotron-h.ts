import type { Config } from '../config.js';
import type { Attention, Decoder, DecoderLayer, Experts } from '../decoder.js';
import { expertsOf } from './experts.js';
import { plainMlp } from './llama-layers.js';
import { type MambaOptions, mambaLayer } from './mamba.js';
import { layerKinds, linear, readActivation, readSizes, rmsNorm, type Sizes } from './parts.js';

const KINDS = ['linear_attention', 'full_attention', 'mlp', 'moe'] as const;
type Kind = (typeof KINDS)[number];

/** How older configurations say it: `hybrid_override_pattern`. */
const LETTERS: ReadonlyMap<string, Kind> = new Map([
  ['M', 'linear_attention'],
  ['*', 'full_attention'],
  ['-', 'mlp'],
  ['E', 'moe'],
]);

/**
 * Nemotron-H and Nemotron 3: each layer is one block, Mamba 2, attention without positions, a
 * feed-forward block with squared ReLU, or experts of such blocks.
 */
export function nemotronH(config: Config): Decoder {
  const kinds = kindsOf(config);
  const sizes = readSizes(config.with({ num_hidden_layers: kinds.length }));
  const { hidden, vocab } = sizes;
  const epsilon = config.number('layer_norm_epsilon', 1e-5);
  const embedding = { name: 'backbone.embeddings.weight', shape: [vocab, hidden] };
  const isTied = config.flag('tie_word_embeddings', false);
  return {
    family: 'nemotron_h',
    vocabSize: vocab,
    hiddenSize: hidden,
    embedding: { weight: embedding, scale: 1, positions: null },
    layers: kinds.map((kind, layer): DecoderLayer => {
      const path = `backbone.layers.${layer}`;
      const norms = { before: rmsNorm(`${path}.norm`, hidden, epsilon), after: null };
      const { mixers, feedForward } = blockOf(config, sizes, kind, `${path}.mixer`);
      return {
        mixers,
        feedForward,
        mixerNorms: norms,
        feedForwardNorms: norms,
        parallel: false,
        residualScale: 1,
      };
    }),
    finalNorm: rmsNorm('backbone.norm_f', hidden, epsilon),
    head: isTied
      ? { weight: embedding, bias: null, turned: true }
      : linear('lm_head', vocab, hidden),
    logitScale: 1,
    logitSoftcap: 0,
    unread: [/^mtp\./, ...(isTied ? [/^lm_head\.weight$/] : [])],
  };
}

function kindsOf(config: Config): Kind[] {
  if (!config.has('hybrid_override_pattern')) {
    const count = [config.values['layers_block_type'], config.values['layer_types']].find(
      Array.isArray,
    );
    const kinds = layerKinds(
      config,
      count?.length ?? 0,
      ['layers_block_type', 'layer_types'],
      KINDS,
    );
    if (kinds) return kinds;
    throw config.wrong('layers_block_type', 'a list of the kinds of layers');
  }
  return Array.from(config.text('hybrid_override_pattern'), (letter) => {
    const kind = LETTERS.get(letter);
    if (kind) return kind;
    throw config.wrong('hybrid_override_pattern', `a text of ${[...LETTERS.keys()].join(', ')}`);
  });
}

function blockOf(
  config: Config,
  sizes: Sizes,
  kind: Kind,
  path: string,
): Pick<DecoderLayer, 'mixers' | 'feedForward'> {
  const activation = readActivation(config, 'mlp_hidden_act', 'relu2');
  switch (kind) {
    case 'linear_attention':
      return { mixers: [mambaLayer(path, mambaSizes(config, sizes))], feedForward: null };
    case 'full_attention':
      return { mixers: [attention(path, sizes)], feedForward: null };
    case 'mlp': {
      const bias = config.flag('mlp_bias', false);
      return { mixers: [], feedForward: plainMlp(path, sizes, activation, NAMES, bias) };
    }
    case 'moe':
      return { mixers: [], feedForward: experts(config, sizes, path) };
  }
}

const NAMES = { up: 'up_proj', down: 'down_proj' };

function mambaSizes(config: Config, { hidden }: Sizes): MambaOptions {
  const numHeads = config.size('mamba_num_heads', 128);
  const numGroups = config.size('n_groups', 8);
  const bias = config.flag('use_bias', false);
  if (readActivation(config, 'mamba_hidden_act') !== 'silu') {
    throw config.wrong('mamba_hidden_act', 'silu');
  }
  if (numHeads % numGroups !== 0) throw config.wrong('n_groups', `a divisor of ${numHeads}`);
  return {
    hidden,
    numHeads,
    headSize: config.size('mamba_head_dim', 64),
    numGroups,
    stateSize: config.size('ssm_state_size', 128),
    taps: config.size('conv_kernel', 4),
    convolutionBias: config.flag('use_conv_bias', true),
    bias: { input: bias, output: bias },
    stepLimits: [config.number('time_step_min', 0.001), Number.POSITIVE_INFINITY],
    epsilon: config.number('layer_norm_epsilon', 1e-5),
    norm: { beforeGate: false },
  };
}

function attention(path: string, { hidden, heads, kvHeads, headSize }: Sizes): Attention {
  return {
    kind: 'attention',
    numHeads: heads,
    numKvHeads: kvHeads,
    headSize,
    scale: headSize ** -0.5,
    softcap: 0,
    slidingWindow: 0,
    sinks: null,
    rotary: null,
    queryGrowth: null,
    projections: {
      kind: 'separate',
      query: linear(`${path}.q_proj`, heads * headSize, hidden),
      key: linear(`${path}.k_proj`, kvHeads * headSize, hidden),
      value: linear(`${path}.v_proj`, kvHeads * headSize, hidden),
    },
    output: linear(`${path}.o_proj`, hidden, heads * headSize),
    queryNorm: null,
    keyNorm: null,
    clip: null,
  };
}

function experts(config: Config, { hidden }: Sizes, path: string): Experts {
  const activation = readActivation(config, 'mlp_hidden_act', 'relu2');
  const count = config.count('n_routed_experts', 8);
  const bias = config.flag('mlp_bias', false);
  if (config.number('n_group', 1) !== 1) {
    throw config.unsupported('n_group is above 1; experts are served that are chosen among all');
  }
  const isNormalized = config.flag('norm_topk_prob', true);
  const width = config.has('moe_latent_size') ? config.size('moe_latent_size') : hidden;
  const inner = config.size('moe_intermediate_size');
  const made = expertsOf(
    config,
    {
      count,
      perToken: config.size('num_experts_per_tok', 2),
      normalized: isNormalized,
      hidden,
      router: 'gate',
      routing: (at) => ({
        scores: 'sigmoid',
        choiceBias: { name: `${at}.gate.e_score_correction_bias`, shape: [count] },
        normalized: isNormalized ? { epsilon: 1e-20 } : null,
        scale: config.number('routed_scaling_factor', 1),
      }),
      shared: (at) => ({
        mlp: plainMlp(
          `${at}.shared_experts`,
          { hidden, inner: config.size('moe_shared_expert_intermediate_size') },
          activation,
          NAMES,
          bias,
        ),
        gate: null,
      }),
    },
    (at, expert) =>
      plainMlp(`${at}.experts.${expert}`, { hidden: width, inner }, activation, NAMES, false),
  )(path);
  if (width === hidden) return made;
  return {
    ...made,
    latent: {
      down: linear(`${path}.fc1_latent_proj`, width, hidden, bias),
      up: linear(`${path}.fc2_latent_proj`, hidden, width, bias),
    },
  };
}
