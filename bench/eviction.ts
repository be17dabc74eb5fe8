import { EVICTION_POLICIES } from '../kvcache/eviction/create-eviction.js';
import { PredictedEviction } from '../kvcache/eviction/predicted.js';
import { BeladyEviction, usesOf } from './eviction/belady.js';
import { OracleBits } from './eviction/oracle-bits.js';
import { type PolicyMaker, replay } from './eviction/replay.js';
import type { Trace } from './eviction/trace.js';
import { TRACES } from './eviction/traces.js';
import { type Cell, publish, type Report } from './lib/report.js';
import { RandomStream } from './serve/random-stream.js';

// Which policy keeps what will be asked for again: traces without a model, on the real cache,
// against the optimum.

/** The policies were designed on the traces of the first seed, and without those of the second. */
const SEEDS = [1, 2];
/** Of the different blocks that a trace asks for. */
const SIZES = [0.04, 0.1];
/** A request must have room. */
const LEAST_BLOCKS = 1100;
/** For the table of wrong bits. */
const MIDDLE = 0;
const ERROR_RATES = [0, 0.1, 0.25, 0.5, 1];
/** LRU is good enough where it reaches this share of the optimum. */
const GOOD = 0.9;

/** Hit rate by policy, as a share of the optimum's. */
type Shares = readonly number[];

/** The tables of one trace. */
interface TraceRows {
  readonly hits: readonly Cell[][];
  readonly saved: readonly Cell[][];
  readonly bits: readonly Cell[][];
  readonly shares: readonly Shares[];
}

const percent = (share: number): number => 100 * share;

function run(trace: Trace, seed: number): TraceRows {
  const uses = usesOf(trace);
  const rows = { hits: [] as Cell[][], saved: [] as Cell[][], bits: [] as Cell[][] };
  const shares: Shares[] = [];
  for (const [index, size] of SIZES.entries()) {
    const numBlocks = Math.max(LEAST_BLOCKS, Math.round(trace.contents * size));
    const belady: PolicyMaker = (n, history, clock) => new BeladyEviction(n, history, uses, clock);
    const optimum = replay(trace, numBlocks, belady);
    const scores = EVICTION_POLICIES.map((policy) => replay(trace, numBlocks, policy));
    const head = [trace.name, numBlocks];
    const hitRates = scores.map(({ hitRate }) => hitRate);
    rows.hits.push([...head, ...[...hitRates, optimum.hitRate].map(percent)]);
    rows.saved.push([...head, ...[...scores, optimum].map(({ saved }) => percent(saved))]);
    shares.push(hitRates.map((hitRate) => hitRate / optimum.hitRate));
    if (index !== MIDDLE) continue;
    const withErrors = ERROR_RATES.map((errorRate) => {
      const random = new RandomStream(seed, 'prompt', 100);
      const bits = new OracleBits(trace, uses, optimum.hits, errorRate, random);
      return replay(trace, numBlocks, (n, history) => new PredictedEviction(n, history, bits));
    });
    const lru = hitRates[EVICTION_POLICIES.indexOf('lru')];
    const worst = Math.min(...withErrors.map(({ hitRate }) => hitRate));
    rows.bits.push([
      ...head,
      percent(optimum.hitRate),
      ...withErrors.map(({ hitRate }) => percent(hitRate)),
      percent(lru),
      percent(worst / lru),
    ]);
  }
  return { ...rows, shares };
}

/**
 * Over all traces and sizes: how near to the optimum each policy comes, and how often it beats LRU
 * where that matters.
 */
function summary(all: readonly Shares[]): Cell[][] {
  const lru = EVICTION_POLICIES.indexOf('lru');
  const poor = all.filter((shares) => shares[lru] < GOOD);
  return EVICTION_POLICIES.map((policy, i) => {
    const own = all.map((shares) => shares[i]);
    const against = all.map((shares) => shares[i] / shares[lru]);
    const better = poor.filter((shares) => shares[i] > shares[lru]);
    return [
      policy,
      percent(own.reduce((a, b) => a + b, 0) / own.length),
      percent(Math.min(...own)),
      percent(Math.min(...against)),
      policy === 'lru' ? '' : `${better.length} of ${poor.length}`,
    ];
  });
}

/** @returns the tables of the traces that a seed makes */
function study(seed: number): Report['tables'] {
  const traces = TRACES.map((make) => make(seed));
  const results = traces.map((trace) => {
    process.stderr.write(`${trace.name}, seed ${seed}\n`);
    return run(trace, seed);
  });
  const from = `seed ${seed}`;
  return [
    {
      title: `Traces, ${from}`,
      columns: ['trace', 'requests', 'different blocks', 'what it is'],
      rows: traces.map(({ name, requests, contents, about }) => [
        name,
        requests.length,
        contents,
        about,
      ]),
    },
    {
      title: `Over all traces and sizes, ${from}`,
      columns: [
        'policy',
        "token hit rate in % of the optimum's, mean",
        'the least',
        "in % of LRU's, the least",
        'better than LRU where LRU is under 90 % of the optimum',
      ],
      rows: summary(results.flatMap(({ shares }) => shares)),
    },
    {
      title: `Token hit rate, %, ${from}`,
      columns: ['trace', 'blocks', ...EVICTION_POLICIES, 'optimum'],
      rows: results.flatMap(({ hits }) => hits),
    },
    {
      title: `Computation of prompts saved, %, ${from}`,
      columns: ['trace', 'blocks', ...EVICTION_POLICIES, 'optimum of the hit rate'],
      rows: results.flatMap(({ saved }) => saved),
    },
    {
      title: `Token hit rate of predicted with given bits, %, by the share of wrong ones, ${from}`,
      columns: [
        'trace',
        'blocks',
        'optimum',
        ...ERROR_RATES.map(String),
        'lru',
        "the least in % of LRU's",
      ],
      rows: results.flatMap(({ bits }) => bits),
    },
  ];
}

publish({
  name: 'eviction',
  command: 'npm run bench:eviction',
  about:
    "Replays of traces on the cache without a model: blocks of 16 tokens, 4 sequences at a time, caches of 4 and 10 % of a trace's different blocks. The optimum is Belady's, of the hit rate, which knows the future. The policies were designed on the traces of seed 1, and those of seed 2 are as they came. Nothing is timed.",
  tables: SEEDS.flatMap(study),
});
