import type { Config } from '../config.js';
import type { Activation, LayerInput, LayerInputs, Norm } from '../decoder.js';
import type { LayerNorms } from './llama-layers.js';
import { linear, type Sizes } from './parts.js';

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
