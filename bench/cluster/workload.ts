import type { BlockHash } from '../../kvcache/ids.js';
import type { Trace, TraceRequest } from '../eviction/trace.js';
import { RandomStream } from '../serve/random-stream.js';

/** A request of one of many tenants, who share nothing. */
export interface Arrival {
  /** Milliseconds. */
  readonly time: number;
  readonly request: TraceRequest;
  readonly tenant: number;
  /** Of prompt and answer, the tenant's own. */
  readonly hashes: readonly BlockHash[];
}

/**
 * Each tenant plays the same kind of trace, with contents of its own, in its order; requests of all
 * arrive at random (Poisson).
 *
 * @param traces of one kind; tenants take them in turn
 * @param perSecond requests, of all tenants together
 */
export function* arrivals(
  traces: readonly Trace[],
  tenants: number,
  count: number,
  perSecond: number,
  seed: number,
): Generator<Arrival> {
  const random = new RandomStream(seed, 'arrivals', 0);
  const next = new Int32Array(tenants);
  let time = 0;
  for (let i = 0; i < count; i++) {
    time += (1000 * random.exponential()) / perSecond;
    const tenant = random.integer(0, tenants);
    const { requests } = traces[tenant % traces.length];
    // A tenant that has played its trace begins again, as another one.
    const round = Math.floor(next[tenant] / requests.length);
    const request = requests[next[tenant]++ % requests.length];
    const suffix = `.${tenant}.${round}`;
    const hashes = request.hashes.map((hash) => (hash + suffix) as BlockHash);
    yield { time, request, tenant, hashes };
  }
}
