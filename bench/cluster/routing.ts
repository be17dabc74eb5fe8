import type { CacheEvent } from '../../kvcache/cache-events.js';
import type { BlockHash } from '../../kvcache/ids.js';
import { BLOCK_SIZE } from '../eviction/trace.js';
import type { SimulatedReplica } from './replica.js';
import type { Arrival } from './workload.js';

/** Decides which replica a request goes to. */
export interface Routing {
  route(arrival: Arrival, replicas: readonly SimulatedReplica[]): number;
  /** What a replica publishes; absent: it listens to none. */
  readonly onEvents?: (replica: number, events: readonly CacheEvent[]) => void;
}

export const ROUTINGS: Readonly<Record<string, () => Routing>> = {
  'round robin': roundRobin,
  'least load': () => ({ route: (_, replicas) => leastLoaded(replicas) }),
  'by its own history': () => new HistoryRouting(),
  'by KV events': () => new EventRouting(),
};

function roundRobin(): Routing {
  let next = 0;
  return { route: (_, replicas) => next++ % replicas.length };
}

function leastLoaded(replicas: readonly SimulatedReplica[]): number {
  let best = 0;
  for (let i = 1; i < replicas.length; i++) {
    if (replicas[i].load < replicas[best].load) best = i;
  }
  return best;
}

/** The limits in deploy/: a lead in requests that a replica may have over another. */
const LEAD = 8;
const RELATIVE_LEAD = 1.5;
/** vllm-router's and sglang-router's: the share of a prompt that must be known. */
const THRESHOLD = 0.3;

/**
 * As vllm-router and sglang-router do with `cache_aware`, by blocks instead of letters: a request
 * goes where the longest part of its prompt was sent before, if that is more than 30 %, else to the
 * replica that was sent least. When loads differ too much, to the least loaded. What replicas have
 * evicted is not known.
 */
class HistoryRouting implements Routing {
  readonly #sent = new Map<BlockHash, number>();
  #tokens: number[] = [];

  route({ hashes, request }: Arrival, replicas: readonly SimulatedReplica[]): number {
    if (this.#tokens.length === 0) this.#tokens = replicas.map(() => 0);
    const blocks = Math.floor(request.promptTokens / BLOCK_SIZE);
    let known = 0;
    while (known < blocks && this.#sent.has(hashes[known])) known += 1;
    const choice = this.#choose(known / Math.max(1, blocks), hashes[known - 1], replicas);
    for (let i = 0; i < blocks; i++) this.#sent.set(hashes[i], choice);
    this.#tokens[choice] += request.promptTokens - known * BLOCK_SIZE;
    return choice;
  }

  #choose(share: number, last: BlockHash, replicas: readonly SimulatedReplica[]): number {
    const loads = replicas.map(({ load }) => load);
    const [least, most] = [
      loads.reduce((a, b) => Math.min(a, b)),
      loads.reduce((a, b) => Math.max(a, b)),
    ];
    if (most - least > LEAD && most > RELATIVE_LEAD * least) return loads.indexOf(least);
    if (share > THRESHOLD) return this.#sent.get(last) ?? 0;
    return this.#tokens.indexOf(this.#tokens.reduce((a, b) => Math.min(a, b)));
  }
}

/** Prompt tokens that a decoding sequence counts as: what its remaining steps cost, about. */
const DECODING_COST = 100;

/**
 * As llm-d and Dynamo do: an index of all replicas' blocks, fed by their events, and a cost for
 * each replica: tokens to compute before the first token, and what already runs there.
 */
class EventRouting implements Routing {
  readonly #holders = new Map<BlockHash, Set<number>>();

  route({ hashes, request }: Arrival, replicas: readonly SimulatedReplica[]): number {
    const blocks = Math.floor((request.promptTokens - 1) / BLOCK_SIZE);
    const cost = (replica: number, cached: number): number => {
      const { pendingTokens, decoding } = replicas[replica];
      return pendingTokens + request.promptTokens - cached + DECODING_COST * decoding;
    };
    let best = 0;
    for (let i = 1; i < replicas.length; i++) if (cost(i, 0) < cost(best, 0)) best = i;
    let least = cost(best, 0);
    // Those that have all blocks so far; fewer with each block.
    let holders = blocks > 0 ? [...(this.#holders.get(hashes[0]) ?? [])] : [];
    for (let known = 1; holders.length > 0; known++) {
      const next = known < blocks ? this.#holders.get(hashes[known]) : undefined;
      for (const replica of holders) {
        if (next?.has(replica)) continue;
        const costThere = cost(replica, known * BLOCK_SIZE);
        if (costThere <= least) [best, least] = [replica, costThere];
      }
      holders = next ? holders.filter((replica) => next.has(replica)) : [];
    }
    // It will have the prompt before its event says so: others of the same prompt must not wait.
    for (let i = 0; i < blocks; i++) this.#add(hashes[i], best);
    return best;
  }

  readonly onEvents = (replica: number, events: readonly CacheEvent[]): void => {
    for (const event of events) {
      if (event.type === 'cleared') continue;
      for (const hash of event.hashes) {
        if (event.type === 'stored') this.#add(hash, replica);
        else this.#remove(hash, replica);
      }
    }
  };

  #add(hash: BlockHash, replica: number): void {
    const holders = this.#holders.get(hash);
    if (holders) holders.add(replica);
    else this.#holders.set(hash, new Set([replica]));
  }

  #remove(hash: BlockHash, replica: number): void {
    const holders = this.#holders.get(hash);
    if (holders?.delete(replica) && holders.size === 0) this.#holders.delete(hash);
  }
}
