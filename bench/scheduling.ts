import { readFileSync } from 'node:fs';
import {
  SCHEDULING_POLICIES,
  type SchedulingPolicyName,
} from '../scheduler/policies/scheduling-policy.js';
import { agents, chat, documents, systemPrompts } from './eviction/traces.js';
import { type Cell, publish } from './lib/report.js';
import { decisionMicros } from './scheduling/decision-cost.js';
import {
  applications,
  arriving,
  fromTrace,
  type Load,
  sharegpt,
  together,
} from './scheduling/loads.js';
import { MAX_RUNNING, run, type Setting } from './scheduling/run.js';
import { HEAVY, tenants } from './scheduling/tenants.js';
import { summarizeMs } from './simulation/latencies.js';
import type { Simulation } from './simulation/simulate.js';
import { fitStepTimes, type StepSample, type StepTimes } from './simulation/step-times.js';

// What the order of service does to latencies: the real scheduler and cache on traces, with a model
// that is its step times.

const SEED = 1;
/** Requests that arrive, of those that can be served. */
const LOADS = [0.9, 1.2];
/** The least blocks, and of a trace's different ones, as in `bench:eviction`. */
const [LEAST_BLOCKS, SIZE] = [1100, 0.04];
const QUEUES = [100, 10_000, 100_000];
/** Whose step times. */
const STEPS = 'step-qwen2.5-0.5b-w8a8-bf16';

const SETTINGS: readonly Setting[] = [
  ...SCHEDULING_POLICIES.filter((policy) => policy !== 'priority').map((policy) => ({
    name: policy,
    policy,
  })),
  { name: 'shortest, lengths known', policy: 'shortest', isOracle: true },
  { name: 'fcfs, admission 0', policy: 'fcfs', admissionQuantile: 0 },
  { name: 'fcfs, admission 0.9', policy: 'fcfs', admissionQuantile: 0.9 },
  { name: 'shortest, admission 0', policy: 'shortest', admissionQuantile: 0 },
];

/** The steps that `bench:step` has measured. */
function publishedStepTimes(): StepTimes {
  const path = new URL(`./results/${STEPS}.json`, import.meta.url);
  const { tables } = JSON.parse(readFileSync(path, 'utf8')) as {
    tables: { title: string; rows: number[][] }[];
  };
  const tableOf = (title: string): number[][] =>
    tables.find((table) => table.title === title)?.rows ?? [];
  const samples: StepSample[] = tableOf('Decode').map(([batch, context, ms]) => ({
    tokens: batch,
    reads: batch * context,
    ms,
  }));
  const [[ms]] = tableOf('A prompt of 512 tokens in one step');
  return fitStepTimes([...samples, { tokens: 512, reads: (512 * 513) / 2, ms }]);
}

const latencyOf = ({ served }: Simulation): number[] =>
  served.map(({ arrivalMs, endMs }) => endMs - arrivalMs);

const times = publishedStepTimes();
/** Without preemptions. */
const calm: Setting = { name: 'calm', policy: 'fcfs' };

/** Requests a second that are served when all are there from the start. */
function capacityOf({ requests, numBlocks }: Load): number {
  return (1000 * requests.length) / run(calm, together(requests), numBlocks, times).busyMs;
}

function rowsOf(load: Load, loads: readonly number[]): Cell[][] {
  const capacity = capacityOf(load);
  const prompts = load.requests.reduce((sum, { promptTokenIds }) => sum + promptTokenIds.length, 0);
  return loads.flatMap((share) => {
    const requests = arriving(load.requests, share * capacity, SEED);
    return SETTINGS.map((setting) => {
      const result = run(setting, requests, load.numBlocks, times);
      const { mean, p95, p99 } = summarizeMs(latencyOf(result));
      const waits = result.served.map(({ arrivalMs, firstTokenMs }) => firstTokenMs - arrivalMs);
      const hits = result.served.reduce((sum, { cachedTokens }) => sum + cachedTokens, 0);
      return [
        load.name,
        `${share}`,
        setting.name,
        mean,
        p95,
        p99,
        summarizeMs(waits).mean,
        result.preemptions,
        (100 * hits) / prompts,
      ];
    });
  });
}

/** Latencies of the light tenants' requests. */
function lightOf(
  result: Simulation,
  requests: readonly { more?: { tenant?: string } }[],
): number[] {
  return latencyOf(result).filter((_, i) => requests[i].more?.tenant !== HEAVY);
}

function tenantRows(): Cell[][] {
  const numBlocks = 1200;
  const sample = together(tenants(1, SEED, false));
  const capacity = (1000 * sample.length) / run(calm, sample, numBlocks, times).busyMs;
  const alone = tenants(capacity, SEED, false);
  const both = tenants(capacity, SEED, true);
  const row = (name: string, latencies: readonly number[], heavy: readonly number[]): Cell[] => {
    const { mean, p95, p99 } = summarizeMs(latencies);
    return [name, mean, p95, p99, heavy.length === 0 ? '' : summarizeMs(heavy).mean];
  };
  const rows = SCHEDULING_POLICIES.filter((policy) => policy !== 'priority').map((policy) => {
    const result = run({ name: policy, policy }, both, numBlocks, times);
    const heavy = latencyOf(result).filter((_, i) => both[i].more?.tenant === HEAVY);
    return row(policy, lightOf(result, both), heavy);
  });
  const quiet = row('no heavy tenant', lightOf(run(calm, alone, numBlocks, times), alone), []);
  return [quiet, ...rows];
}

function decisionRow(policy: SchedulingPolicyName): Cell[] {
  const micros: Cell[] = QUEUES.map((waiting) => decisionMicros(policy, waiting));
  return [policy, ...micros];
}

const loads: Load[] = [
  applications(SEED),
  sharegpt(SEED),
  ...[chat, systemPrompts, agents, documents].map((make) => {
    const trace = make(SEED);
    return fromTrace(trace, Math.max(LEAST_BLOCKS, Math.round(trace.contents * SIZE)));
  }),
];
const rows: Cell[][] = [];
for (const load of loads) {
  process.stderr.write(`${load.name}\n`);
  // Traces of prefixes only near what can be served.
  rows.push(...rowsOf(load, loads.indexOf(load) < 2 ? LOADS : LOADS.slice(0, 1)));
}
publish({
  name: 'scheduling',
  command: 'npm run bench:scheduling',
  about: `The scheduler and the cache as a server has them, with a clock of their own: up to ${MAX_RUNNING} sequences, the step times of ${STEPS}. Requests arrive at random times (Poisson); a load of 1 is what fcfs serves when all are there from the start. Seconds; nothing is timed but the last table.`,
  tables: [
    {
      title: 'Loads',
      columns: ['load', 'requests', 'blocks of 16 tokens', 'what it is'],
      rows: loads.map(({ name, requests, numBlocks, about }) => [
        name,
        requests.length,
        numBlocks,
        about,
      ]),
    },
    {
      title: 'Latency',
      columns: [
        'trace',
        'load',
        'policy',
        'mean',
        'p95',
        'p99',
        'to the first token, mean',
        'preemptions',
        'token hit rate, %',
      ],
      rows,
    },
    {
      title:
        'Seven light tenants, which ask for 3/10 of what can be served, beside one whose requests keep the server busy throughout: latency of the light ones',
      columns: ['policy', 'mean', 'p95', 'p99', 'mean of the heavy one'],
      rows: tenantRows(),
    },
    {
      title: 'Microseconds for a decision, by the number of waiting sequences',
      columns: ['policy', ...QUEUES.map(String)],
      rows: SCHEDULING_POLICIES.map(decisionRow),
    },
  ],
});
