import type { TokenId } from '../../scheduler/ids.js';
import { RandomStream } from '../serve/random-stream.js';
import type { SimulatedRequest } from '../simulation/simulate.js';

export const HEAVY = 'heavy';
const LIGHT_TENANTS = 7;
/** Requests of each light tenant. */
const REQUESTS = 40;

/**
 * Light tenants, whose requests come one by one at random times, and a heavy one that sends at once
 * what would keep the server busy for all that time.
 *
 * @param perSecond requests that the server can serve
 */
export function tenants(
  perSecond: number,
  seed: number,
  isHeavyThere: boolean,
): SimulatedRequest[] {
  const requests: SimulatedRequest[] = [];
  const add = (tenant: string, arrivalMs: number, random: RandomStream): void => {
    const prompt = random.integer(100, 220);
    requests.push({
      arrivalMs,
      promptTokenIds: Array.from(
        { length: prompt },
        (_, i) => (requests.length * 8192 + i) as TokenId,
      ),
      outputTokens: random.integer(60, 240),
      maxTokens: 256,
      more: { tenant, route: 'chat' },
    });
  };
  // All light ones together ask for 3/10 of what the server can do.
  const gapMs = (1000 * LIGHT_TENANTS) / (0.3 * perSecond);
  for (let light = 0; light < LIGHT_TENANTS; light++) {
    const random = new RandomStream(seed, 'arrivals', light);
    let arrivalMs = 0;
    for (let i = 0; i < REQUESTS; i++) {
      arrivalMs += gapMs * random.exponential();
      add(`light ${light}`, arrivalMs, random);
    }
  }
  if (isHeavyThere) {
    const random = new RandomStream(seed, 'arrivals', LIGHT_TENANTS);
    const count = Math.round((perSecond * gapMs * REQUESTS) / 1000);
    for (let i = 0; i < count; i++) add(HEAVY, 0, random);
  }
  return requests.sort((a, b) => a.arrivalMs - b.arrivalMs);
}
