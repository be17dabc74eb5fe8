import type { DatasetName, WorkloadOptions } from './options.js';
import type { RandomStream } from './random-stream.js';

/** Lengths whose logarithm is normal, within limits. */
export interface LengthDistribution {
  /** Mean of the lengths that are drawn, within the limits. */
  readonly mean: number;
  /** Standard deviation of the logarithm; 0: every length is the mean. */
  readonly spread: number;
  readonly min: number;
  readonly max: number;
}

interface Lengths {
  readonly input: LengthDistribution;
  readonly output: LengthDistribution;
}

/**
 * Data sets by their lengths. The means are those of the vLLM paper (Kwon et al. 2023, section 6.1:
 * ShareGPT 161 and 338 tokens, Alpaca 19 and 58), and so is the limit of 1,024 tokens. The spreads
 * are ours: ShareGPT's lengths vary more.
 */
const DATASETS: Readonly<Record<DatasetName, Lengths>> = {
  sharegpt: {
    input: { mean: 161, spread: 1.2, min: 4, max: 1024 },
    output: { mean: 338, spread: 0.9, min: 4, max: 1024 },
  },
  alpaca: {
    input: { mean: 19, spread: 0.5, min: 4, max: 1024 },
    output: { mean: 58, spread: 0.9, min: 4, max: 1024 },
  },
  fixed: {
    input: { mean: 128, spread: 0, min: 1, max: Number.MAX_SAFE_INTEGER },
    output: { mean: 128, spread: 0, min: 1, max: Number.MAX_SAFE_INTEGER },
  },
};

/** The data set's lengths, as changed by the options. */
export function lengthsOf(
  options: Pick<WorkloadOptions, 'dataset' | 'inputLength' | 'outputLength' | 'lengthSpread'>,
): Lengths {
  const { input, output } = DATASETS[options.dataset];
  const change = (base: LengthDistribution, mean: number | null): LengthDistribution => ({
    mean: mean ?? base.mean,
    spread: base.spread === 0 ? 0 : (options.lengthSpread ?? base.spread),
    min: Math.min(base.min, mean ?? base.min),
    max: Math.max(base.max, 4 * (mean ?? 0)),
  });
  return {
    input: change(input, options.inputLength),
    output: change(output, options.outputLength),
  };
}

/** Draws lengths; those outside the limits are drawn again. */
export class LengthSampler {
  readonly #distribution: LengthDistribution;
  /** Mean of the logarithm for which lengths within the limits have the stated mean. */
  readonly #location: number;

  constructor(distribution: LengthDistribution) {
    this.#distribution = distribution;
    this.#location = distribution.spread === 0 ? 0 : locate(distribution);
  }

  sample(random: RandomStream): number {
    const { mean, spread, min, max } = this.#distribution;
    if (spread === 0) return mean;
    for (;;) {
      const length = Math.round(Math.exp(this.#location + spread * random.normal()));
      if (length >= min && length <= max) return length;
    }
  }
}

/** Bisection: the truncated mean grows with the location. */
function locate(distribution: LengthDistribution): number {
  let low = Math.log(distribution.min) - 4;
  let high = Math.log(distribution.max) + 4;
  for (let i = 0; i < 50; i++) {
    const middle = (low + high) / 2;
    if (truncatedMean(distribution, middle) < distribution.mean) low = middle;
    else high = middle;
  }
  return (low + high) / 2;
}

/** Integrates over the normal variable in small steps; limits as rounding sees them. */
function truncatedMean({ spread, min, max }: LengthDistribution, location: number): number {
  let mass = 0;
  let sum = 0;
  const from = (Math.log(min - 0.5) - location) / spread;
  const to = (Math.log(max + 0.5) - location) / spread;
  const steps = 2000;
  // Beyond the nearest point of the range the density falls off: taken relative to it, nothing
  // underflows.
  const nearest = Math.min(Math.max(0, from), to);
  for (let i = 0; i < steps; i++) {
    const z = from + ((i + 0.5) / steps) * (to - from);
    const density = Math.exp((nearest * nearest - z * z) / 2);
    mass += density;
    sum += density * Math.exp(location + spread * z);
  }
  return sum / mass;
}
