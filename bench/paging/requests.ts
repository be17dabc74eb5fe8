import type { TokenId } from '../../scheduler/ids.js';
import { LengthSampler, lengthsOf } from '../serve/lengths.js';
import { RandomStream } from '../serve/random-stream.js';
import { arrivalTimes } from '../serve/schedule.js';
import type { SimulatedRequest } from '../simulation/simulate.js';
import type { Lengths } from './systems.js';

/** What clients allow. */
const MAX_OUTPUT = 1024;

export type Dataset = 'sharegpt' | 'alpaca';

/** Lengths like those of a data set, the same for all systems and rates. */
export function drawLengths(dataset: Dataset, count: number, seed: number): Lengths[] {
  const { input, output } = lengthsOf({
    dataset,
    inputLength: null,
    outputLength: null,
    lengthSpread: null,
  });
  const [prompts, outputs] = [new LengthSampler(input), new LengthSampler(output)];
  return Array.from({ length: count }, (_, i) => {
    const random = new RandomStream(seed, 'lengths', i);
    return { prompt: prompts.sample(random), output: outputs.sample(random) };
  });
}

/**
 * Requests at random times (Poisson), which name themselves in `reuse.key`.
 *
 * @param perSecond infinite: all are there from the start
 * @param vocab of the model that computes them
 */
export function requestsOf(
  lengths: readonly Lengths[],
  perSecond: number,
  seed: number,
  vocab = 2 ** 31,
): SimulatedRequest[] {
  const isAtOnce = !Number.isFinite(perSecond);
  const times = arrivalTimes({ kind: 'poisson', perSecond: isAtOnce ? 1 : perSecond }, seed);
  return lengths.map(({ prompt, output }, index) => ({
    arrivalMs: isAtOnce ? 0 : times.next().value,
    promptTokenIds: Array.from(
      { length: prompt },
      (_, i) => ((i * 7919 + index * 104_729) % vocab) as TokenId,
    ),
    outputTokens: output,
    maxTokens: MAX_OUTPUT,
    more: { reuse: { key: `${index}`, isRetained: false } },
  }));
}
