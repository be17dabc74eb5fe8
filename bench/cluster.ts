import { oneCacheHitRate } from './cluster/one-cache.js';
import { ROUTINGS } from './cluster/routing.js';
import { type ClusterScore, simulate } from './cluster/simulate.js';
import { measuredStepTimes, type StepTimes } from './cluster/step-times.js';
import { type Arrival, arrivals } from './cluster/workload.js';
import type { Trace } from './eviction/trace.js';
import { chat, TRACES } from './eviction/traces.js';
import { type Cell, publish } from './lib/report.js';

// Up to 1,000 replicas without a model: the cache, the routing and the events are real, the time of
// a step is computed from measured ones.

const SEED = 1;
/** Traces of one kind, which tenants take in turn. */
const SEEDS = [1, 2, 3, 4];
const SIZES =
  process.argv.slice(2).length > 0 ? process.argv.slice(2).map(Number) : [3, 10, 100, 1000];
/** For the table of all kinds of traces. */
const MIDDLE = 30;
/** Of each tenant, on average. */
const REQUESTS = 400;
/** Replicas for each tenant, whose requests they share. */
const REPLICAS_PER_TENANT = 10;
/** Blocks of a replica, of the different blocks in a tenant's trace; as in bench:eviction. */
const CACHE_SHARE = 0.04;
/** A request must have room. */
const LEAST_BLOCKS = 1100;
/** Of what replicas could do if nothing was ever cached. */
const LOAD = 0.8;
/** Sequences that share a step's fixed cost, for the estimate of the load. */
const TYPICAL_BATCH = 8;

const times = measuredStepTimes();
const percent = (share: number): number => 100 * share;

/** Requests in a second that keep one replica busy when nothing is cached. */
function capacity({ requests }: Trace, step: StepTimes): number {
  const work = requests.map(({ promptTokens, tokens }) => {
    const prompt = promptTokens * step.perToken + (promptTokens ** 2 / 2) * step.perPair;
    const perAnswerToken = step.perSequence + step.base / TYPICAL_BATCH + step.perContext * tokens;
    return prompt + (tokens - promptTokens) * perAnswerToken;
  });
  return (1000 * work.length) / work.reduce((a, b) => a + b, 0);
}

/** The same for all routings. */
function workload(traces: readonly Trace[], replicas: number): Iterable<Arrival> {
  const perSecond = LOAD * replicas * capacity(traces[0], times);
  const tenants = Math.max(1, Math.round(replicas / REPLICAS_PER_TENANT));
  return arrivals(traces, tenants, REQUESTS * tenants, perSecond, SEED);
}

const blocksOf = ([first]: readonly Trace[]): number =>
  Math.max(LEAST_BLOCKS, Math.round(first.contents * CACHE_SHARE));

function run(traces: readonly Trace[], replicas: number, routing: string): ClusterScore {
  process.stderr.write(`${traces[0].name}, ${replicas} replicas, ${routing}\n`);
  const cluster = { replicas, numBlocks: blocksOf(traces), times, routing: ROUTINGS[routing]() };
  return simulate(cluster, workload(traces, replicas));
}

const at = (sorted: Float64Array, share: number): number =>
  sorted[Math.ceil(share * sorted.length) - 1] / 1000;

/** @param best token hit rate of one cache as large as all */
function row(score: ClusterScore, best: number): Cell[] {
  const { hitRate, ttft, imbalance, utilization, eventBytes } = score;
  return [
    percent(hitRate),
    percent(hitRate / best),
    at(ttft, 0.5),
    at(ttft, 0.99),
    imbalance,
    percent(utilization),
    eventBytes === 0 ? '' : eventBytes / 1000,
  ];
}

/** Hit rate of one cache as large as all replicas' together, for the same arrivals. */
function bestHitRate(traces: readonly Trace[], replicas: number): number {
  const running = TYPICAL_BATCH * replicas;
  return oneCacheHitRate(workload(traces, replicas), replicas * blocksOf(traces), running);
}

const COLUMNS = [
  'token hit rate, %',
  "% of one cache's",
  'TTFT p50, s',
  'TTFT p99, s',
  'busiest over mean',
  'busy, %',
  'events, kB/s a replica',
];

const chats = SEEDS.map(chat);
/** A row for each routing. */
function compare(name: Cell, traces: readonly Trace[], replicas: number): Cell[][] {
  const best = bestHitRate(traces, replicas);
  const rows: Cell[][] = [];
  for (const routing of Object.keys(ROUTINGS)) {
    rows.push([name, routing, ...row(run(traces, replicas, routing), best)]);
  }
  return rows;
}

const bySize = SIZES.flatMap((replicas) => compare(replicas, chats, replicas));
const byTrace = TRACES.flatMap((make) => {
  const traces = SEEDS.map(make);
  return compare(traces[0].name, traces, MIDDLE);
});

publish({
  name: 'cluster',
  command: 'npm run bench:cluster',
  about:
    `Simulated replicas without a model: the real prefix cache (LRU, 4 % of a tenant's different blocks, ${LEAST_BLOCKS} at least), chunked prefill of 512 tokens beside decoding, up to 64 sequences; the time of a step is computed from those in ${times.source}.md. ` +
    `A tenant for each ${REPLICAS_PER_TENANT} replicas (one, at least), who share nothing; each plays a trace of bench:eviction, ${REQUESTS} requests on average, at random times: ${percent(LOAD)} % of what the replicas could do if nothing was ever cached. ` +
    'By its own history: as vllm-router and sglang-router do. By KV events: as llm-d and Dynamo do; events are encoded as the server encodes them, with random ids of 151,936. One cache: a single cache as large as all together.',
  raw: { times },
  tables: [
    {
      title: 'Step times, ms',
      columns: ['base', 'a sequence', 'a token of context', 'a prompt token', 'a pair of them'],
      rows: [[times.base, times.perSequence, times.perContext, times.perToken, times.perPair]],
    },
    {
      title: 'Conversations (chat), by the number of replicas',
      columns: ['replicas', 'routing', ...COLUMNS],
      rows: bySize,
    },
    {
      title: `All kinds of traces, ${MIDDLE} replicas`,
      columns: ['trace', 'routing', ...COLUMNS],
      rows: byTrace,
    },
  ],
});
