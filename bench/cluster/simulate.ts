import { Encoder } from '@msgpack/msgpack';
import type { CacheEvent } from '../../kvcache/cache-events.js';
import { encodeBatch } from '../../server/kv-events/event-batch.js';
import { RandomStream } from '../serve/random-stream.js';
import { SimulatedReplica } from './replica.js';
import type { Routing } from './routing.js';
import type { StepTimes } from './step-times.js';
import type { Arrival } from './workload.js';

/** Of Qwen2.5: most of its ids take 5 bytes in msgpack. */
const VOCABULARY = 151_936;
/** Longer than any request. */
const LONGEST = 20_000;
/** Of these, the first ones, events are encoded; all others have about as many. */
const MEASURED_REPLICAS = 10;
/** Not a whole number, as times are. */
const SECONDS = 1.5;
/** Of a message besides the batch: ZeroMQ's three frames, the number, and an empty topic. */
const FRAME_BYTES = 14;

export interface ClusterOptions {
  readonly replicas: number;
  readonly numBlocks: number;
  readonly times: StepTimes;
  readonly routing: Routing;
}

export interface ClusterScore {
  /** Share of all prompt tokens that was cached. */
  readonly hitRate: number;
  /** Milliseconds from the arrival to the first token, sorted. */
  readonly ttft: Float64Array;
  /** Time of the busiest replica over the mean. */
  readonly imbalance: number;
  /** Share of the time that replicas compute, mean. */
  readonly utilization: number;
  /** Bytes of events in a second, of a replica; 0 when nothing listens. */
  readonly eventBytes: number;
}

/** Plays arrivals on a cluster, from the first to the last end. */
export function simulate(options: ClusterOptions, arrivals: Iterable<Arrival>): ClusterScore {
  const { routing, times, numBlocks } = options;
  const random = new RandomStream(1, 'prompt', 0);
  const tokenIds = Array.from({ length: LONGEST }, () => random.integer(0, VOCABULARY));
  const encoder = new Encoder({ useBigInt64: true });
  const sums = { prompt: 0, cached: 0, bytes: 0 };
  const ttft: number[] = [];
  const measured = Math.min(options.replicas, MEASURED_REPLICAS);
  const listen =
    (replica: number) =>
    (events: readonly CacheEvent[]): void => {
      routing.onEvents?.(replica, events);
      if (replica >= measured) return;
      sums.bytes += FRAME_BYTES + encodeBatch(events, SECONDS, encoder).length;
    };
  const replicas = Array.from(
    { length: options.replicas },
    (_, i) =>
      new SimulatedReplica({
        numBlocks,
        times,
        tokenIds,
        onEvents: routing.onEvents ? listen(i) : null,
        onFirstToken: ({ time, request }, cached, now) => {
          ttft.push(now - time);
          sums.prompt += request.promptTokens;
          sums.cached += cached;
        },
      }),
  );
  const ends = new EndQueue(options.replicas);
  let now = 0;
  const runUntil = (time: number): void => {
    for (let first = ends.first(); first && first.time <= time; first = ends.first()) {
      now = first.time;
      const replica = replicas[first.replica];
      replica.endSteps(now);
      ends.set(first.replica, replica.nextEnd);
    }
  };
  for (const arrival of arrivals) {
    runUntil(arrival.time);
    now = arrival.time;
    const choice = routing.route(arrival, replicas);
    replicas[choice].submit(arrival, now);
    ends.set(choice, replicas[choice].nextEnd);
  }
  runUntil(Number.POSITIVE_INFINITY);
  const busy = replicas.map(({ busyMs }) => busyMs);
  const mean = busy.reduce((a, b) => a + b, 0) / busy.length;
  return {
    hitRate: sums.cached / sums.prompt,
    ttft: Float64Array.from(ttft).sort(),
    imbalance: busy.reduce((a, b) => Math.max(a, b)) / mean,
    utilization: mean / now,
    eventBytes: sums.bytes / (now / 1000) / measured,
  };
}

/** When each replica's steps end: a heap of replicas, the first to end on top. */
class EndQueue {
  readonly #times: Float64Array;
  readonly #heap: number[] = [];
  /** Index in the heap; -1 for idle replicas. */
  readonly #places: Int32Array;

  constructor(replicas: number) {
    this.#times = new Float64Array(replicas);
    this.#places = new Int32Array(replicas).fill(-1);
  }

  first(): { readonly replica: number; readonly time: number } | null {
    if (this.#heap.length === 0) return null;
    const [replica] = this.#heap;
    return { replica, time: this.#times[replica] };
  }

  /** @param time null for idle */
  set(replica: number, time: number | null): void {
    const place = this.#places[replica];
    if (time !== null) {
      this.#times[replica] = time;
      if (place === -1) this.#put(replica, this.#heap.length);
      this.#rise(this.#places[replica]);
      this.#sink(this.#places[replica]);
    } else if (place !== -1) {
      this.#places[replica] = -1;
      const last = this.#heap.pop() as number;
      if (last === replica) return;
      this.#put(last, place);
      this.#rise(place);
      this.#sink(this.#places[last]);
    }
  }

  #put(replica: number, place: number): void {
    this.#heap[place] = replica;
    this.#places[replica] = place;
  }

  #rise(from: number): void {
    const replica = this.#heap[from];
    let place = from;
    while (place > 0) {
      const parent = (place - 1) >> 1;
      if (this.#times[this.#heap[parent]] <= this.#times[replica]) break;
      this.#put(this.#heap[parent], place);
      place = parent;
    }
    this.#put(replica, place);
  }

  #sink(from: number): void {
    const replica = this.#heap[from];
    let place = from;
    for (;;) {
      let child = 2 * place + 1;
      if (child >= this.#heap.length) break;
      const other = child + 1;
      if (other < this.#heap.length && this.#timeAt(other) < this.#timeAt(child)) child = other;
      if (this.#timeAt(child) >= this.#times[replica]) break;
      this.#put(this.#heap[child], place);
      place = child;
    }
    this.#put(replica, place);
  }

  #timeAt(place: number): number {
    return this.#times[this.#heap[place]];
  }
}
