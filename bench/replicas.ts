import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { type OctavoServer, startOctavo } from './lib/octavo-server.js';
import { type Cell, publish } from './lib/report.js';
import {
  type ConversationOptions,
  converse,
  differing,
  textsOf,
  tokenHitRate,
} from './replicas/conversations.js';
import { pythonEnvironment } from './replicas/python-environment.js';
import {
  ROUTERS,
  type RouterKind,
  type RouterProcess,
  startRouter,
} from './replicas/router-process.js';
import type { LoadResult } from './serve/run-load.js';
import { nearestRank } from './serve/statistics.js';

// Three real replicas behind routers that others have written, under conversations; then the same
// with a replica, and with the router, killed in the middle.

const ROOT = fileURLToPath(new URL('..', import.meta.url));
const REPLICAS = 3;
/** MiB of one replica's cache: all three hold the conversations that run, one does not. */
const CACHE_MIB = 23;
const LOAD: ConversationOptions = {
  count: Number(process.argv[2] ?? 24),
  concurrency: 24,
  turns: 6,
  systemWords: 150,
  questionWords: 40,
  answerTokens: 48,
};
/** A replica with so many requests more than another, and half as many again, takes no new ones. */
const BALANCE = ['--balance-abs-threshold', '4', '--balance-rel-threshold', '1.5'];

interface Setup {
  readonly name: string;
  readonly kind: RouterKind;
  readonly policy: string;
  readonly flags: (replicas: readonly OctavoServer[]) => readonly string[];
}

interface Row {
  readonly name: string;
  readonly results: readonly LoadResult[];
  readonly seconds: number;
  /** Requests that each replica has answered. */
  readonly requests: readonly number[];
}

const SETUPS: readonly Setup[] = ROUTERS.flatMap((kind) => [
  { name: `${kind}, round_robin`, kind, policy: 'round_robin', flags: () => [] },
  { name: `${kind}, cache_aware`, kind, policy: 'cache_aware', flags: () => BALANCE },
]);

const startReplica = (mib: number, ...flags: string[]): Promise<OctavoServer> =>
  startOctavo(ROOT, [
    '--threads',
    '1',
    '--kv-cache-memory',
    `${mib}MiB`,
    // The load is closed: nothing is to be refused.
    '--max-queue-time',
    '0',
    '--max-queued-requests',
    '0',
    '--max-queued-tokens',
    '0',
    ...flags,
  ]);

async function stop({ child }: OctavoServer): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  child.kill('SIGKILL');
  await once(child, 'exit');
}

async function answered(url: string): Promise<number> {
  const text = await (await fetch(`${url}/metrics`)).text();
  const counts = text.matchAll(/^vllm:request_success_total\{.*\} (\d+)$/gm);
  return [...counts].reduce((sum, [, count]) => sum + Number(count), 0);
}

/** A load on fresh replicas. */
async function measure(name: string, url: string, replicas: readonly OctavoServer[]): Promise<Row> {
  process.stderr.write(`${name}\n`);
  for (const replica of replicas) {
    await fetch(`${replica.url}/reset_prefix_cache`, { method: 'POST' });
  }
  const before = await Promise.all(replicas.map((replica) => answered(replica.url)));
  const begin = performance.now();
  const results = await converse(url, LOAD);
  const seconds = (performance.now() - begin) / 1000;
  const after = await Promise.all(replicas.map((replica) => answered(replica.url)));
  return { name, results, seconds, requests: after.map((count, i) => count - before[i]) };
}

const { python, absent } = await pythonEnvironment();
if (absent !== undefined) throw new Error(absent);

const big = await startReplica(REPLICAS * CACHE_MIB);
const oneCache = await measure('one server with a cache as large as all three', big.url, [big]);
await stop(big);
const expected = textsOf(oneCache.results);
const best = tokenHitRate(oneCache.results);

const replicas: OctavoServer[] = [];
for (let i = 0; i < REPLICAS; i++) {
  const endpoints = ['--kv-events-endpoint', '@tcp://127.0.0.1:*'];
  replicas.push(
    await startReplica(CACHE_MIB, ...endpoints, '--kv-events-replay-endpoint', 'tcp://127.0.0.1:*'),
  );
}
const urls = replicas.map(({ url }) => url);
const rows: Row[] = [oneCache];
for (const { name, kind, policy, flags } of SETUPS) {
  const router = await startRouter({
    python,
    kind,
    policy,
    replicas: urls,
    flags: flags(replicas),
  });
  rows.push(await measure(name, router.url, replicas));
  await router.kill();
}

/** Kills something in the middle of a load on fresh caches. */
async function withLoss(
  name: string,
  router: RouterProcess,
  kill: () => Promise<void>,
): Promise<Cell[]> {
  process.stderr.write(`${name}\n`);
  for (const { url } of replicas) await fetch(`${url}/reset_prefix_cache`, { method: 'POST' });
  const middle = (LOAD.count * LOAD.turns * LOAD.answerTokens) / 2;
  let chunks = 0;
  const killed: Promise<void>[] = [];
  const onOutput = (): void => {
    chunks += 1;
    if (chunks > middle && killed.length === 0) killed.push(kill());
  };
  let retries = 0;
  const onRetry = (): void => void retries++;
  const results = await converse(router.url, { ...LOAD, onOutput, onRetry });
  await Promise.all(killed);
  const failed = results.filter(({ error }) => error !== null);
  const begun = failed.filter(({ firstTokenMs }) => firstTokenMs !== null);
  return [
    name,
    results.length,
    begun.length,
    retries,
    failed.length - begun.length,
    differing(results, expected).length,
  ];
}

const losses: Cell[][] = [];
for (const kind of ROUTERS) {
  const policy = 'cache_aware';
  const router = await startRouter({ python, kind, policy, replicas: urls, flags: BALANCE });
  // One that has requests; another takes its place afterwards, under its address.
  const victim = replicas[1];
  losses.push(await withLoss(`${kind}: a replica is killed`, router, () => stop(victim)));
  await router.kill();
  replicas[1] = await startReplica(CACHE_MIB, '--port', new URL(victim.url).port);
}
for (const kind of ROUTERS) {
  const policy = 'cache_aware';
  const options = { python, kind, policy, replicas: urls, flags: BALANCE };
  const router = await startRouter(options);
  const started: RouterProcess[] = [];
  const kill = async (): Promise<void> => {
    await router.kill();
    started.push(await startRouter({ ...options, port: router.port }));
  };
  losses.push(
    await withLoss(`${kind}: the router is killed, and another one started`, router, kill),
  );
  for (const next of started) await next.kill();
}
await Promise.all(replicas.map(stop));

publish({
  name: 'replicas',
  command: 'npm run bench:replicas',
  about:
    `Three servers with octavo-tiny, a thread and ${CACHE_MIB} MiB of cache each, behind real routers: ${LOAD.count} conversations of ${LOAD.turns} turns, ${LOAD.concurrency} at a time, each with a system prompt of its own; greedy. All processes and the clients share the processors of a machine that did other work, too: latencies are rough. ` +
    'cache_aware with --balance-abs-threshold 4.',
  versions: ['vllm-router 0.1.17', 'sglang-router 0.3.2'],
  tables: [
    {
      title: 'Token hit rate',
      columns: [
        'setup',
        'token hit rate, %',
        "% of one cache's",
        'requests of each replica',
        'TTFT p50, ms',
        'TTFT p99, ms',
        'seconds',
        'texts that differ',
      ],
      rows: rows.map(({ name, results, seconds, requests }) => {
        const failed = results.filter(({ error }) => error !== null);
        if (failed.length > 0) throw new Error(`${name}: ${JSON.stringify(failed[0])}`);
        const times = results.map(
          ({ dueMs, firstTokenMs, endMs }) => (firstTokenMs ?? endMs) - dueMs,
        );
        const rate = tokenHitRate(results);
        return [
          name,
          100 * rate,
          100 * (rate / best),
          requests.join(', '),
          nearestRank(times, 0.5) ?? 0,
          nearestRank(times, 0.99) ?? 0,
          seconds,
          differing(results, expected).length,
        ];
      }),
    },
    {
      title: 'Losses in the middle of the load',
      columns: [
        'what happens',
        'requests',
        'streams that broke off',
        'errors before a stream began, which clients retry',
        'failed for good before they began',
        'texts that differ',
      ],
      rows: losses,
    },
  ],
});
