import type { Config } from './config.js';
import type { Rotary } from './decoder.js';

/** What a family adds to its configuration's rotation. */
export interface RotaryOptions {
  readonly headSize: number;
  readonly interleaved?: boolean;
  /** Fraction of each head that is rotated when the configuration states none; default 1. */
  readonly part?: number;
  /** Base of the angles when the configuration states none; default 10,000. */
  readonly theta?: number;
}

const { fround } = Math;

/**
 * Resolves a rotation: its angles by kind and scaling. All is computed in float32, as transformers
 * does, whose angles a text depends on.
 *
 * @param config the model's
 * @param parameters where the rotation is stated: `rope_parameters` of transformers 5, or
 *   `rope_scaling` before it, with the rest beside it in the model's own configuration
 */
export function readRotary(
  config: Config,
  parameters: Config,
  { headSize, interleaved: usually = false, part = 1, theta = 10_000 }: RotaryOptions,
): Rotary {
  // (Not transformers' key: GGUF files have rows of queries and keys in the order for it.)
  const interleaved = config.flag('rope_interleaved', usually);
  const stated = (key: string, otherwise: number): number =>
    parameters.has(key) ? parameters.number(key) : config.number(key, otherwise);
  const kind = parameters.has('rope_type')
    ? parameters.text('rope_type')
    : parameters.text('type', 'default');
  const fraction = stated('partial_rotary_factor', part);
  // Of a proportional one, the whole head is rotated, its last pairs by no angle.
  const dim = kind === 'proportional' ? headSize : Math.trunc(headSize * fraction);
  if (!(fraction > 0 && fraction <= 1 && dim >= 2 && dim % 2 === 0)) {
    throw parameters.wrong(
      'partial_rotary_factor',
      `a fraction of heads of ${headSize} that is even`,
    );
  }
  const base = stated('rope_theta', theta);
  if (!(base > 1)) throw parameters.wrong('rope_theta', 'a number above 1');
  const plain = Float32Array.from({ length: dim / 2 }, (_, i) =>
    fround(1 / fround(base ** fround((2 * i) / dim))),
  );
  const same = { dim, interleaved, long: null, magnitude: 1 };
  switch (kind) {
    case 'default':
    // Within the model's own length, which is all that is served, it changes nothing.
    case 'dynamic':
      return { ...same, frequencies: plain };
    case 'linear': {
      const factor = fround(parameters.number('factor'));
      return { ...same, frequencies: plain.map((f) => fround(f / factor)) };
    }
    case 'proportional': {
      const factor = fround(parameters.number('factor', 1));
      const rotated = Math.floor((fraction * headSize) / 2);
      const frequencies = plain.map((f, i) => (i < rotated ? fround(f / factor) : 0));
      return { ...same, frequencies };
    }
    case 'divided':
      return { ...same, frequencies: dividedBy(parameters, plain) };
    case 'llama3':
      return { ...same, frequencies: llama3(parameters, plain) };
    case 'yarn':
      return { ...same, ...yarn(config, parameters, plain, base) };
    case 'longrope':
    case 'su':
      return { ...same, ...longRope(config, parameters, dim, base) };
    default:
      throw parameters.unsupported(
        `its rotation has the kind ${JSON.stringify(kind)}; known are default, linear, dynamic, proportional, llama3, yarn and longrope`,
      );
  }
}

/** GGUF: a factor for each pair, by which its frequency is divided. */
function dividedBy(parameters: Config, plain: Float32Array): Float32Array {
  const factors = parameters.numbers('factors', plain.length);
  if (factors === null) throw parameters.wrong('factors', `a list of ${plain.length} numbers`);
  return plain.map((frequency, i) => fround(frequency / factors[i]));
}

/** Llama 3.1: low frequencies are divided, high ones kept, those between interpolated. */
function llama3(parameters: Config, plain: Float32Array): Float32Array {
  const factor = parameters.number('factor');
  const low = parameters.number('low_freq_factor');
  const high = parameters.number('high_freq_factor');
  const length = parameters.size('original_max_position_embeddings');
  return plain.map((frequency) => {
    const wavelength = fround((2 * Math.PI) / frequency);
    if (wavelength < length / high) return frequency;
    if (wavelength > length / low) return fround(frequency / factor);
    const smooth = fround((length / wavelength - low) / (high - low));
    return fround(((1 - smooth) * frequency) / factor + smooth * frequency);
  });
}

/** YaRN (Peng et al. 2023): a ramp over the pairs, from kept to divided frequencies. */
function yarn(
  config: Config,
  parameters: Config,
  plain: Float32Array,
  base: number,
): Pick<Rotary, 'frequencies' | 'magnitude'> {
  const length = parameters.size('original_max_position_embeddings');
  const factor = parameters.has('factor')
    ? parameters.number('factor')
    : config.size('max_position_embeddings') / length;
  const dim = 2 * plain.length;
  const pairOf = (turns: number): number =>
    (dim * Math.log(length / (turns * 2 * Math.PI))) / (2 * Math.log(base));
  const truncates = parameters.flag('truncate', true);
  let first = pairOf(parameters.number('beta_fast', 32) || 32);
  let last = pairOf(parameters.number('beta_slow', 1) || 1);
  if (truncates) [first, last] = [Math.floor(first), Math.ceil(last)];
  first = Math.max(first, 0);
  last = Math.min(last, dim - 1);
  if (first === last) last += 0.001;
  const frequencies = plain.map((frequency, i) => {
    const kept = 1 - Math.min(Math.max(fround((i - first) / (last - first)), 0), 1);
    return fround(fround(frequency / factor) * (1 - kept) + frequency * kept);
  });
  return { frequencies, magnitude: yarnMagnitude(parameters, factor) };
}

function yarnMagnitude(parameters: Config, factor: number): number {
  if (parameters.has('attention_factor')) return parameters.number('attention_factor');
  const of = (scale: number): number => (factor <= 1 ? 1 : 0.1 * scale * Math.log(factor) + 1);
  const scale = parameters.number('mscale', 0);
  const allDim = parameters.number('mscale_all_dim', 0);
  return scale !== 0 && allDim !== 0 ? of(scale) / of(allDim) : of(1);
}

/** LongRoPE (Ding et al. 2024): a factor for each pair, others for long sequences. */
function longRope(
  config: Config,
  parameters: Config,
  dim: number,
  base: number,
): Pick<Rotary, 'frequencies' | 'magnitude' | 'long'> {
  const original = (parameters.has('original_max_position_embeddings') ? parameters : config).size(
    'original_max_position_embeddings',
  );
  const divided = (key: string): Float32Array => {
    const factors = parameters.numbers(key, dim / 2);
    if (factors === null) throw parameters.wrong(key, `a list of ${dim / 2} numbers`);
    return Float32Array.from(factors, (factor, i) =>
      fround(1 / fround(fround(factor) * fround(base ** fround((2 * i) / dim)))),
    );
  };
  const factor = parameters.has('factor')
    ? parameters.number('factor')
    : config.size('max_position_embeddings') / original;
  const magnitude = factor <= 1 ? 1 : Math.sqrt(1 + Math.log(factor) / Math.log(original));
  return {
    frequencies: divided('short_factor'),
    long: { beyond: original, frequencies: divided('long_factor') },
    magnitude: parameters.number('attention_factor', magnitude),
  };
}
