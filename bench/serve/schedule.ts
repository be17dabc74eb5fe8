import type { Arrivals } from './options.js';
import { RandomStream } from './random-stream.js';

/**
 * Milliseconds after the start at which each conversation begins; the first at once. Open loop
 * only.
 */
export function* arrivalTimes(
  arrivals: Exclude<Arrivals, { kind: 'closed' }>,
  seed: number,
): Generator<number, never> {
  const random = new RandomStream(seed, 'arrivals', 0);
  const gap = 1000 / arrivals.perSecond;
  let at = 0;
  for (;;) {
    yield at;
    at += arrivals.kind === 'fixed' ? gap : gap * random.exponential();
  }
}
