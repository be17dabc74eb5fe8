import type { Config } from '../config.js';
import type { Convolution, Mamba } from '../decoder.js';
import { linear, rmsNorm } from './parts.js';

export interface MambaOptions {
  readonly hidden: number;
  readonly numHeads: number;
  readonly headSize: number;
  readonly numGroups: number;
  readonly stateSize: number;
  readonly taps: number;
  readonly convolutionBias: boolean;
  /** Of the input and of the output. */
  readonly bias: { readonly input: boolean; readonly output: boolean };
  readonly stepLimits: Mamba['stepLimits'];
  readonly epsilon: number;
  /** Null: there is no norm. */
  readonly norm: { readonly beforeGate: boolean } | null;
  readonly inputFactors?: Mamba['inputFactors'];
}

/** A Mamba 2 layer under the names that transformers gives its weights. */
export function mambaLayer(path: string, options: MambaOptions): Mamba {
  const { hidden, numHeads, headSize, numGroups, stateSize, taps, norm } = options;
  const inner = numHeads * headSize;
  const channels = inner + 2 * numGroups * stateSize;
  const perHead = (name: string) => ({ name: `${path}.${name}`, shape: [numHeads] });
  return {
    kind: 'mamba',
    numHeads,
    headSize,
    numGroups,
    stateSize,
    input: linear(`${path}.in_proj`, inner + channels + numHeads, hidden, options.bias.input),
    inputFactors: options.inputFactors ?? null,
    convolution: convolution(`${path}.conv1d`, channels, taps, options.convolutionBias),
    fading: { stepBias: perHead('dt_bias'), rate: { weight: perHead('A_log'), form: 'log' } },
    stepLimits: options.stepLimits,
    skip: perHead('D'),
    norm: norm && {
      norm: rmsNorm(`${path}.norm`, inner, options.epsilon),
      groups: numGroups,
      beforeGate: norm.beforeGate,
    },
    output: linear(`${path}.out_proj`, hidden, inner, options.bias.output),
  };
}

/** As torch.nn.Conv1d stores one that has a group for each channel. */
export function convolution(
  path: string,
  channels: number,
  taps: number,
  hasBias: boolean,
): Convolution {
  return {
    channels,
    taps,
    weight: { name: `${path}.weight`, shape: [channels, 1, taps] },
    bias: hasBias ? { name: `${path}.bias`, shape: [channels] } : null,
  };
}

/** The sizes of Bamba's configuration, which Granite 4 and Falcon-H1 share. */
export function bambaSizes(
  config: Config,
  hidden: number,
  epsilon: number,
  inner = Math.trunc(config.number('mamba_expand', 2) * hidden),
): MambaOptions {
  const numHeads = config.size('mamba_n_heads', 128);
  const numGroups = config.size('mamba_n_groups', 1);
  const isStated = config.values['mamba_d_head'] !== 'auto';
  const headSize = isStated ? config.size('mamba_d_head', inner / numHeads) : inner / numHeads;
  if (headSize * numHeads !== inner) {
    throw config.wrong('mamba_d_head', `${inner} divided by mamba_n_heads, ${inner / numHeads}`);
  }
  if (numHeads % numGroups !== 0) throw config.wrong('mamba_n_groups', `a divisor of ${numHeads}`);
  const bias = config.flag('mamba_proj_bias', false);
  return {
    hidden,
    numHeads,
    headSize,
    numGroups,
    stateSize: config.size('mamba_d_state', 256),
    taps: config.size('mamba_d_conv', 4),
    convolutionBias: config.flag('mamba_conv_bias', true),
    bias: { input: bias, output: bias },
    stepLimits: stepLimits(config, 'time_step_limit'),
    epsilon,
    norm: { beforeGate: false },
  };
}

/** Two numbers; infinity is null (`parsePythonJson`), or what transformers 5 writes for it. */
export function stepLimits(config: Config, key: string): Mamba['stepLimits'] {
  if (!config.has(key)) return [0, Number.POSITIVE_INFINITY];
  const value = config.values[key];
  const isInfinite = (limit: unknown): boolean =>
    limit === null || JSON.stringify(limit) === '{"__float__":"Infinity"}';
  const limits = Array.isArray(value)
    ? value.map((limit: unknown) => (isInfinite(limit) ? Number.POSITIVE_INFINITY : limit))
    : [];
  const [low, high, ...more] = limits;
  if (typeof low === 'number' && typeof high === 'number' && low <= high && more.length === 0) {
    return [low, high];
  }
  throw config.wrong(key, 'a list of two numbers, the smaller one first');
}
