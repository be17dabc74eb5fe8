import type { Config } from '../config.js';
import type { Decoder, Experts, Mamba, Mlp } from '../decoder.js';
import { expertsOf } from './experts.js';
import { llamaDecoder, namedMlp, packedMlp, type Traits } from './llama-layers.js';
import { bambaSizes, mambaLayer } from './mamba.js';
import {
  layerKinds,
  outputsOf,
  readActivation,
  readSizes,
  rotaryOf,
  type Sizes,
  stacked,
} from './parts.js';

/** Granite 3: factors on embedding, scores, residuals and logits. */
export function granite(config: Config): Decoder {
  return llamaDecoder(config, {
    family: 'granite',
    ...traitsOf(config),
  });
}

/** Granite 3 with experts. */
export function graniteMoe(config: Config): Decoder {
  const sizes = readSizes(config);
  const experts = expertsAt(config, sizes);
  return llamaDecoder(config, {
    family: 'granitemoe',
    ...traitsOf(config),
    sizes,
    feedForward: (path) => experts(path.replace(/mlp$/, 'block_sparse_moe')),
  });
}

/**
 * Granite 4: Mamba 2 or attention in a layer, and a feed-forward block that all tokens share,
 * beside experts or alone.
 */
export function graniteHybrid(config: Config): Decoder {
  const width = config.size('shared_intermediate_size', 1024);
  const sizes = readSizes(config.with({ intermediate_size: width }));
  const kinds =
    layerKinds(config, sizes.layers, ['layer_types', 'layers_block_type'], KINDS) ??
    Array<string>(sizes.layers).fill('mamba');
  const isRotated = config.text('position_embedding_type', '') === 'rope';
  const rotary = isRotated ? rotaryOf(config, sizes) : null;
  const activation = readActivation(config);
  if (activation !== 'silu') throw config.wrong('hidden_act', 'silu');
  const mamba = (path: string): Mamba =>
    mambaLayer(path, bambaSizes(config, sizes.hidden, config.number('rms_norm_eps', 1e-6)));
  const isSplit = config.flag('gates_separate', false);
  const shared = (path: string): Mlp => {
    const at = path.replace(/mlp$/, 'shared_mlp');
    return isSplit
      ? namedMlp(at, sizes, activation, SPLIT)
      : packedMlp(at, sizes, activation, PACKED);
  };
  const inner = config.size('intermediate_size', width);
  const experts =
    config.number('num_local_experts', 8) > 0 ? expertsAt(config, { ...sizes, inner }) : null;
  return llamaDecoder(config, {
    family: 'granitemoehybrid',
    ...traitsOf(config),
    sizes,
    rotary: () => rotary,
    mixers: (path, layer, attention) => [
      kinds[layer].endsWith('attention') && kinds[layer] !== 'linear_attention'
        ? attention()
        : mamba(`${path}.mamba`),
    ],
    feedForward: (path) =>
      experts
        ? {
            ...experts(path.replace(/mlp$/, 'block_sparse_moe')),
            shared: { mlp: shared(path), gate: null },
          }
        : shared(path),
  });
}

const KINDS = ['attention', 'full_attention', 'mamba', 'linear_attention'];
const PACKED = { both: 'input_linear', down: 'output_linear' };
/** As GGUF files have them. */
const SPLIT = { gate: 'gate_linear', up: 'up_linear', down: 'output_linear' };

/**
 * All experts of a layer are in two tensors, gate and up as two halves of the first; or each has
 * matrices of its own.
 */
function expertsAt(
  config: Config,
  { hidden, inner }: Pick<Sizes, 'hidden' | 'inner'>,
): (path: string) => Experts {
  const activation = readActivation(config);
  const count = config.count('num_local_experts', 8);
  return expertsOf(
    config,
    {
      count,
      perToken: config.size('num_experts_per_tok', 2),
      // A softmax over the chosen is one over all, divided by their sum.
      normalized: true,
      hidden,
      router: 'router.layer',
    },
    (path, expert) => {
      if (config.flag('gates_separate', false)) {
        return namedMlp(`${path}.experts.${expert}`, { hidden, inner }, activation, SPLIT);
      }
      const both = stacked(`${path}.input_linear.weight`, [count, 2 * inner, hidden], expert);
      return {
        kind: 'mlp',
        activation,
        gate: outputsOf(both, 0, inner),
        up: outputsOf(both, inner, inner),
        down: stacked(`${path}.output_linear.weight`, [count, hidden, inner], expert),
      };
    },
  );
}

function traitsOf(config: Config): Omit<Traits, 'family'> {
  const bias = config.flag('attention_bias', false);
  const scale = config.number('attention_multiplier', 1);
  return {
    biases: { qkv: bias, output: bias, mlp: config.flag('mlp_bias', false) },
    attention: () => ({ scale }),
    embeddingScale: config.number('embedding_multiplier', 1),
    residualScale: config.number('residual_multiplier', 1),
    logitScale: 1 / config.number('logits_scaling', 1),
  };
}
