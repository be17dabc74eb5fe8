import { once } from 'node:events';
import { availableParallelism } from 'node:os';
import { fileURLToPath } from 'node:url';
import { startOctavo } from './lib/octavo-server.js';
import { type ProcessorShares, processorShares } from './lib/processor-shares.js';
import { type Cell, median, publish } from './lib/report.js';
import { embeddedModelClient } from './serve/client.js';
import { type LoadState, newLoadState, runLoad } from './serve/run-load.js';
import { summarize } from './serve/statistics.js';
import { Workload } from './serve/workload.js';

// The effect of 20 times the sustainable load on admitted requests: the compiled server with its
// default limits and the embedded model, and clients that send at given times, whether the server
// keeps up or not.

const SECONDS = Number(process.argv[2] ?? 12);
/** Until the queue is as full as it becomes. */
const WARM_SECONDS = 3;
const ROUNDS = 3;
const TOKENS = 128;
/** The server's default `--max-num-seqs`. */
const SEQUENCES = 64;
/** How often `/health` is asked meanwhile. */
const PROBE_MS = 50;
/** Of what the server can do. Where the queue is full for good, it has its peak. */
const LOADS = [0.5, 1, 2, 20] as const;
const [FULL, OVERLOAD] = [2, 20];

interface Figures extends ProcessorShares {
  /** Of the server's own count, between the warm-up and the end of the arrivals. */
  readonly tokensPerSecond: number;
  readonly offered: number;
  readonly refused: number;
  readonly ttft: { readonly p50: number; readonly p99: number };
  /** Of each request: its time from the first token to the last, over its tokens. */
  readonly tpot: { readonly p50: number; readonly p99: number };
  readonly itl: { readonly p99: number };
  readonly lagP99: number;
  /** Of `GET /health`, asked over one connection all the while. */
  readonly healthP99: number;
}

const ROOT = fileURLToPath(new URL('..', import.meta.url));
const now = (): number => performance.now();
const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/**
 * Asks `/health` until it is stopped; resolves to the 99th percentile of its times in milliseconds.
 */
async function probeHealth(url: string, signal: AbortSignal): Promise<number> {
  const times: number[] = [];
  while (!signal.aborted) {
    const begin = now();
    await (await fetch(`${url}/health`)).text();
    times.push(now() - begin);
    await pause(PROBE_MS);
  }
  times.sort((a, b) => a - b);
  return times[Math.ceil(0.99 * times.length) - 1];
}

async function generatedTokens(url: string): Promise<number> {
  const text = await (await fetch(`${url}/metrics`)).text();
  return Number(/^vllm:generation_tokens_total\{.*\} (\d+)$/m.exec(text)?.[1]);
}

/**
 * Requests of exactly so many tokens in and out, none of which has a beginning in common with
 * another.
 */
class Load {
  readonly #url: string;
  readonly #pid: number;
  #runs = 0;

  constructor(url: string, pid: number) {
    this.#url = url;
    this.#pid = pid;
  }

  async run(arrivals: Parameters<typeof runLoad>[0]['arrivals'], count: number): Promise<Figures> {
    const seed = ++this.#runs;
    const client = embeddedModelClient(this.#url, 'completions', now);
    const workload = new Workload(
      {
        dataset: 'fixed',
        inputLength: TOKENS,
        outputLength: TOKENS,
        lengthSpread: null,
        sharedPrefix: 0,
        prefixGroups: 1,
        turns: 1,
        promptFormat: 'ids',
        vocabSize: 2048,
        seed,
      },
      false,
    );
    const controller = new AbortController();
    const state = newLoadState();
    const { signal } = controller;
    const running = runLoad({
      workload,
      client,
      arrivals,
      count,
      seed,
      signal,
      now,
      sleep: pause,
      state,
    });
    await pause(WARM_SECONDS * 1000);
    const shares = processorShares(this.#pid);
    const probing = new AbortController();
    const health = probeHealth(this.#url, probing.signal);
    const [begin, before] = [now(), await generatedTokens(this.#url)];
    await pause(SECONDS * 1000);
    const [end, after] = [now(), await generatedTokens(this.#url)];
    const taken = shares();
    probing.abort();
    // Open arrivals are over by now; who was let in is waited for.
    if (arrivals.kind === 'closed') controller.abort();
    await running;
    await client.close();
    return {
      ...this.#figures(state),
      tokensPerSecond: (1000 * (after - before)) / (end - begin),
      healthP99: await health,
      ...taken,
    };
  }

  #figures({
    results,
  }: LoadState): Omit<Figures, 'tokensPerSecond' | 'healthP99' | keyof ProcessorShares> {
    const counted = results.filter(({ dueMs }) => dueMs > WARM_SECONDS * 1000);
    const { requests, latencyMs } = summarize(counted, {});
    const { http_503: refused = 0, ...others } = requests.errors;
    if (Object.keys(others).length > 0) {
      throw new Error(`requests failed: ${JSON.stringify(requests.errorDetails)}`);
    }
    const { ttft, tpot, itl, lag } = latencyMs;
    const offered = counted.length;
    return {
      offered,
      refused: refused / offered,
      ttft,
      tpot,
      itl,
      lagP99: lag.p99,
    };
  }
}

const { child, url } = await startOctavo(ROOT, []);
const load = new Load(url, child.pid ?? 0);
// The first one only warms up.
await load.run({ kind: 'closed', concurrency: SEQUENCES }, Number.POSITIVE_INFINITY);
const closed = await load.run({ kind: 'closed', concurrency: SEQUENCES }, Number.POSITIVE_INFINITY);
const capacity = closed.tokensPerSecond / TOKENS;
const rounds: Record<number, Figures[]> = Object.fromEntries(LOADS.map((factor) => [factor, []]));
for (let round = 0; round < ROUNDS; round++) {
  // In turn: what else the machine does changes with time.
  for (const factor of LOADS) {
    const perSecond = factor * capacity;
    const count = Math.ceil(perSecond * (WARM_SECONDS + SECONDS));
    const figures = await load.run({ kind: 'poisson', perSecond }, count);
    process.stderr.write(`${factor} x: ${JSON.stringify(figures)}\n`);
    rounds[factor].push(figures);
  }
}
child.kill('SIGTERM');
await once(child, 'exit');

const of = (factor: number, value: (figures: Figures) => number): number =>
  median(rounds[factor].map(value));
/** What the server makes of the processors that the client leaves to it. */
const perProcessorSecond = ({ tokensPerSecond, server }: Figures): number =>
  tokensPerSecond / (server * availableParallelism());
/** Medians of the ratios of each round. */
const ratio = (value: (figures: Figures) => number): number =>
  median(rounds[OVERLOAD].map((figures, i) => value(figures) / value(rounds[FULL][i])));
const spread = (value: (figures: Figures) => number): string => {
  const ratios = rounds[OVERLOAD].map((figures, i) => value(figures) / value(rounds[FULL][i]));
  return `${Math.min(...ratios).toPrecision(3)} to ${Math.max(...ratios).toPrecision(3)}`;
};
const compare = (name: string, value: (figures: Figures) => number): Cell[] => [
  name,
  of(FULL, value),
  of(OVERLOAD, value),
  ratio(value),
  spread(value),
];

publish({
  name: 'overload',
  command: 'npm run bench:overload',
  about:
    `octavo-tiny (\`serve\`, all limits as they are by default): streams of ${TOKENS} tokens in and ${TOKENS} out, in an open loop (Poisson) at multiples of what ` +
    `${SEQUENCES} clients in a closed loop get, ${capacity.toFixed(1)} requests/s; ${ROUNDS} rounds in turn, ${SECONDS} s each after ` +
    `${WARM_SECONDS} s. Clients and server share the machine: what the client takes, the server lacks. Tokens are the server's own count; times are measured by the client, from when ` +
    'a request was due, of those that were let in.',
  raw: { capacity, rounds },
  tables: [
    {
      title: 'Loads (medians)',
      columns: [
        'load',
        'requests/s offered',
        'refused (503)',
        'tokens/s',
        'TTFT p50 ms',
        'TTFT p99 ms',
        'time per token p50 ms',
        'time per token p99 ms',
        'inter-token p99 ms',
        '/health p99 ms',
        'client late p99 ms',
        'processors taken by the server',
        'by the client',
        'by others',
        'tokens per processor second of the server',
      ],
      rows: LOADS.map((factor) => [
        `${factor} x`,
        of(factor, ({ offered }) => offered / SECONDS),
        `${(100 * of(factor, ({ refused }) => refused)).toFixed(1)} %`,
        of(factor, ({ tokensPerSecond }) => tokensPerSecond),
        of(factor, ({ ttft }) => ttft.p50),
        of(factor, ({ ttft }) => ttft.p99),
        of(factor, ({ tpot }) => tpot.p50),
        of(factor, ({ tpot }) => tpot.p99),
        of(factor, ({ itl }) => itl.p99),
        of(factor, ({ healthP99 }) => healthP99),
        of(factor, ({ lagP99 }) => lagP99),
        `${(100 * of(factor, ({ server }) => server)).toFixed(0)} %`,
        `${(100 * of(factor, ({ client }) => client)).toFixed(0)} %`,
        `${(100 * of(factor, ({ foreign }) => foreign)).toFixed(0)} %`,
        of(factor, perProcessorSecond),
      ]),
    },
    {
      title: `${OVERLOAD} x against the peak (${FULL} x, where the queue is always full, too)`,
      columns: ['', 'peak', 'overload', 'ratio', 'of the rounds'],
      rows: [
        compare('tokens/s (target: 0.9 or more)', ({ tokensPerSecond }) => tokensPerSecond),
        compare('tokens per processor second of the server', perProcessorSecond),
        compare('TTFT p50 ms', ({ ttft }) => ttft.p50),
        compare('TTFT p99 ms (target: 2,500 or less)', ({ ttft }) => ttft.p99),
        compare('time per token p50 ms', ({ tpot }) => tpot.p50),
        compare('time per token p99 ms', ({ tpot }) => tpot.p99),
        compare('inter-token p99 ms', ({ itl }) => itl.p99),
        compare('/health p99 ms (target: below 200)', ({ healthP99 }) => healthP99),
      ],
    },
  ],
});
