import type { Config } from '../config.js';
import type { Activation, LayerInput, LayerInputs, Norm, Rotary } from '../decoder.js';
import type { LayerNorms } from './llama-layers.js';
import { linear, rotaryOf, type Sizes } from './parts.js';

/** Makes a norm of a size. */
export type NormOf = (path: string, size: number) => Norm;

/** Norms before and after each block (Gemma 2 and later). */
export function normsAround(path: string, norm: (name: string) => Norm): LayerNorms {
  return {
    attention: {
      before: norm(`${path}.input_layernorm`),
      after: norm(`${path}.post_attention_layernorm`),
    },
    feedForward: {
      before: norm(`${path}.pre_feedforward_layernorm`),
      after: norm(`${path}.post_feedforward_layernorm`),
    },
  };
}

/** Rotations of Gemma 3 and 3n: of sliding layers, and of full ones. */
export function bothRotations(
  config: Config,
  sizes: Sizes,
): Readonly<Record<'sliding' | 'full', Rotary>> {
  // (Before transformers 5, scaling was that of the full layers only.)
  const theta = config.number('rope_local_base_freq', 10_000);
  const isNew = config.inner('rope_parameters') !== null;
  const local = isNew ? config : config.with({ rope_scaling: null, rope_theta: theta });
  return {
    sliding: rotaryOf(local, { ...sizes, theta: 10_000 }, 'sliding_attention'),
    full: rotaryOf(config, { ...sizes, theta: 1_000_000 }, 'full_attention'),
  };
}

/** Vectors for each layer (Gemma 3n and 4). */
export function readLayerInputs(
  config: Config,
  { hidden, layers }: Sizes,
  norm: NormOf,
): LayerInputs {
  const size = config.size('hidden_size_per_layer_input', 256);
  const rows = config.size('vocab_size_per_layer_input', 262_144);
  return {
    size,
    table: { name: 'model.embed_tokens_per_layer.weight', shape: [rows, layers * size] },
    tableScale: Math.fround(Math.sqrt(size)),
    projection: linear('model.per_layer_model_projection', layers * size, hidden),
    projectionScale: hidden ** -0.5,
    norm: norm('model.per_layer_projection_norm', size),
    sumScale: Math.SQRT1_2,
  };
}

/** The block that reads a layer's vector. @param size of the vector */
export function layerInputAt(
  path: string,
  hidden: number,
  size: number,
  activation: Activation,
  norm: NormOf,
): LayerInput {
  return {
    gate: linear(`${path}.per_layer_input_gate`, size, hidden),
    activation,
    projection: linear(`${path}.per_layer_projection`, hidden, size),
    norm: norm(`${path}.post_per_layer_input_norm`, hidden),
  };
}
