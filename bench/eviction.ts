import { EVICTION_POLICIES } from '../kvcache/eviction/create-eviction.js';
import { PredictedEviction } from '../kvcache/eviction/predicted.js';
import { BeladyEviction, usesOf } from './eviction/belady.js';
import { OracleBits } from './eviction/oracle-bits.js';
import { type PolicyMaker, replay } from './eviction/replay.js';
import type { Trace } from './eviction/trace.js';
import { TRACES } from './eviction/traces.js';
import { type Cell, publish } from './lib/report.js';
import { RandomStream } from './serve/random-stream.js';

// Which policy keeps what will be asked for again: traces without a model, on the real cache,
// against the optimum.

const SEED = 1;
/** Of the different blocks that a trace asks for. */
const SIZES = [0.04, 0.1];
/** A request must have room. */
const LEAST_BLOCKS = 1100;
/** For the table of wrong bits. */
const MIDDLE = 0;
const ERROR_RATES = [0, 0.1, 0.25, 0.5, 1];
/** LRU is good enough where it reaches this share of the optimum. */
const GOOD = 0.9;

/** Share of the optimum, `[policy]`. */
interface Comparison {
  readonly trace: string;
  readonly shares: readonly number[];
}

const hitRows: Cell[][] = [];
const savedRows: Cell[][] = [];
const bitRows: Cell[][] = [];
const comparisons: Comparison[] = [];
const percent = (share: number): number => 100 * share;

function run(trace: Trace): void {
  const uses = usesOf(trace);
  for (const [index, size] of SIZES.entries()) {
    const numBlocks = Math.max(LEAST_BLOCKS, Math.round(trace.contents * size));
    const belady: PolicyMaker = (n, history, clock) => new BeladyEviction(n, history, uses, clock);
    const optimum = replay(trace, numBlocks, belady);
    const scores = EVICTION_POLICIES.map((policy) => replay(trace, numBlocks, policy));
    const head = [trace.name, numBlocks];
    const hitRates = scores.map(({ hitRate }) => hitRate);
    hitRows.push([...head, ...[...hitRates, optimum.hitRate].map(percent)]);
    savedRows.push([...head, ...[...scores, optimum].map(({ saved }) => percent(saved))]);
    const shares = hitRates.map((hitRate) => hitRate / optimum.hitRate);
    comparisons.push({ trace: trace.name, shares });
    if (index !== MIDDLE) continue;
    const withErrors = ERROR_RATES.map((errorRate) => {
      const random = new RandomStream(SEED, 'prompt', 100);
      const bits = new OracleBits(trace, uses, optimum.hits, errorRate, random);
      return replay(trace, numBlocks, (n, history) => new PredictedEviction(n, history, bits));
    });
    bitRows.push([
      ...head,
      percent(optimum.hitRate),
      ...withErrors.map(({ hitRate }) => percent(hitRate)),
      percent(hitRates[EVICTION_POLICIES.indexOf('lru')]),
    ]);
  }
}

/**
 * Over all traces and sizes: how near to the optimum each policy comes, and how often it beats LRU
 * where that matters.
 */
function summary(): Cell[][] {
  const lru = EVICTION_POLICIES.indexOf('lru');
  const poor = comparisons.filter(({ shares }) => shares[lru] < GOOD);
  return EVICTION_POLICIES.map((policy, i) => {
    const shares = comparisons.map((comparison) => comparison.shares[i]);
    const against = comparisons.map((one) => one.shares[i] / one.shares[lru]);
    const better = poor.filter((comparison) => comparison.shares[i] > comparison.shares[lru]);
    return [
      policy,
      percent(shares.reduce((a, b) => a + b, 0) / shares.length),
      percent(Math.min(...shares)),
      percent(Math.min(...against)),
      policy === 'lru' ? '' : `${better.length} of ${poor.length}`,
    ];
  });
}

const traces = TRACES.map((make) => make(SEED));
for (const trace of traces) {
  process.stderr.write(`${trace.name}\n`);
  run(trace);
}
publish({
  name: 'eviction',
  command: 'npm run bench:eviction',
  about:
    "Replays of traces on the cache without a model: blocks of 16 tokens, 4 sequences at a time, caches of 4 and 10 % of a trace's different blocks. The optimum is Belady's, of the hit rate, which knows the future. Nothing is timed.",
  tables: [
    {
      title: 'Traces',
      columns: ['trace', 'requests', 'different blocks', 'what it is'],
      rows: traces.map(({ name, requests, contents, about }) => [
        name,
        requests.length,
        contents,
        about,
      ]),
    },
    {
      title: 'Over all traces and sizes',
      columns: [
        'policy',
        "token hit rate in % of the optimum's, mean",
        'the least',
        "in % of LRU's, the least",
        'better than LRU where LRU is under 90 % of the optimum',
      ],
      rows: summary(),
    },
    {
      title: 'Token hit rate, %',
      columns: ['trace', 'blocks', ...EVICTION_POLICIES, 'optimum'],
      rows: hitRows,
    },
    {
      title: 'Computation of prompts saved, %',
      columns: ['trace', 'blocks', ...EVICTION_POLICIES, 'optimum of the hit rate'],
      rows: savedRows,
    },
    {
      title: 'Token hit rate of predicted with given bits, %, by the share of wrong ones',
      columns: ['trace', 'blocks', 'optimum', ...ERROR_RATES.map(String), 'lru'],
      rows: bitRows,
    },
  ],
});
