import { clip } from '../../clip.js';
import type { Config } from '../config.js';
import type { Activation, Linear, Norm, Rotary, Weight } from '../decoder.js';
import { type RotaryOptions, readRotary } from '../rotary.js';

/** The sizes that every decoder has, under the names that most families give them. */
export interface Sizes {
  readonly vocab: number;
  readonly hidden: number;
  readonly layers: number;
  readonly heads: number;
  readonly kvHeads: number;
  readonly headSize: number;
  /** Width of the feed-forward block. */
  readonly inner: number;
}

/** @param headSize when the configuration states none; absent: the hidden size by the heads */
export function readSizes(config: Config, headSize?: number): Sizes {
  const hidden = config.size('hidden_size');
  const heads = config.size('num_attention_heads');
  const kvHeads = config.size('num_key_value_heads', heads);
  if (heads % kvHeads !== 0) throw config.wrong('num_key_value_heads', `a divisor of ${heads}`);
  const otherwise = headSize ?? (hidden % heads === 0 ? hidden / heads : undefined);
  return {
    vocab: config.size('vocab_size'),
    hidden,
    layers: config.count('num_hidden_layers'),
    heads,
    kvHeads,
    headSize: config.size('head_dim', otherwise),
    inner: config.size('intermediate_size'),
  };
}

/** Names that transformers gives activations. */
const ACTIVATIONS = new Map<string, Activation>(
  Object.entries({
    silu: 'silu',
    swish: 'silu',
    gelu: 'gelu',
    gelu_new: 'gelu-tanh',
    gelu_fast: 'gelu-tanh',
    gelu_pytorch_tanh: 'gelu-tanh',
    relu: 'relu',
    relu2: 'relu2',
  } as const),
);

export function readActivation(config: Config, key = 'hidden_act', otherwise = 'silu'): Activation {
  const name = config.text(key, otherwise);
  const found = ACTIVATIONS.get(name);
  if (found) return found;
  const known = [...ACTIVATIONS.keys()].join(', ');
  throw config.unsupported(`${key} is ${JSON.stringify(name)}; known are ${known}`);
}

/** The rotation of all layers, or of those of one kind where the configuration states several. */
export function rotaryOf(config: Config, options: RotaryOptions, kind?: string): Rotary {
  const all = config.inner('rope_parameters') ?? config.inner('rope_scaling');
  const stated = (kind !== undefined && all?.inner(kind)) || all;
  return readRotary(config, stated ?? config.inside({}), options);
}

const FULL = 'full_attention';
const SLIDING = 'sliding_attention';

/**
 * Whether each layer has the sliding window: by `layer_types`, or else by the family's rule.
 *
 * @throws OctavoError `model_unsupported` for layers of another kind
 */
export function slidingLayers(
  config: Config,
  layers: number,
  rule: (layer: number) => boolean,
): boolean[] {
  const kinds = layerKinds(config, layers, ['layer_types'], [FULL, SLIDING]);
  if (!kinds) return Array.from({ length: layers }, (_, layer) => rule(layer));
  return kinds.map((kind) => kind === SLIDING);
}

/**
 * What each layer is, as the first of some keys says it; null when none is there.
 *
 * @throws OctavoError `model_unsupported` for a kind that is not among the known ones
 */
export function layerKinds<Kind extends string>(
  config: Config,
  layers: number,
  keys: readonly string[],
  known: readonly Kind[],
): Kind[] | null {
  const key = keys.find((name) => config.has(name));
  const kinds = key === undefined ? null : config.texts(key, layers);
  if (!kinds) return null;
  return kinds.map((kind) => {
    const found = known.find((name) => name === kind);
    if (found !== undefined) return found;
    throw config.unsupported(
      `${key} has ${JSON.stringify(clip(kind))}; layers are served that have ${known.join(', ')}`,
    );
  });
}

/** As torch.nn.Linear stores it. */
export function linear(path: string, outputs: number, inputs: number, hasBias = false): Linear {
  return {
    weight: { name: `${path}.weight`, shape: [outputs, inputs] },
    bias: hasBias ? { name: `${path}.bias`, shape: [outputs] } : null,
    turned: true,
  };
}

/** Some outputs of a linear layer, by themselves. */
export function outputsOf(whole: Linear, first: number, count: number): Linear {
  const rows = { first, count };
  const cut = (weight: Weight): Weight => ({ ...weight, rows });
  return { ...whole, weight: cut(whole.weight), bias: whole.bias && cut(whole.bias) };
}

/** One of the matrices `[count, outputs, inputs]` of a tensor, each as torch.nn.Linear has it. */
export function stacked(
  name: string,
  shape: readonly [count: number, outputs: number, inputs: number],
  matrix: number,
): Linear {
  return { weight: { name, shape, matrix }, bias: null, turned: true };
}

export function rmsNorm(path: string, size: number, epsilon: number, offset: 0 | 1 = 0): Norm {
  const weight = { name: `${path}.weight`, shape: [size] };
  return { kind: 'rms', size, weight, bias: null, offset, epsilon };
}

export function layerNorm(path: string, size: number, epsilon: number, hasBias = true): Norm {
  const weight = { name: `${path}.weight`, shape: [size] };
  const bias = hasBias ? { name: `${path}.bias`, shape: [size] } : null;
  return { kind: 'layer', size, weight, bias, offset: 0, epsilon };
}
