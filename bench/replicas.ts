import type { OctavoServer } from './lib/octavo-server.js';
import { startRedis } from './lib/redis-server.js';
import { type Cell, publish } from './lib/report.js';
import { type ConversationOptions, textsOf, tokenHitRate } from './replicas/conversations.js';
import { LOSS_COLUMNS, withLoss } from './replicas/losses.js';
import { pythonEnvironment } from './replicas/python-environment.js';
import {
  CACHE_MIB,
  COLUMNS,
  cellsOf,
  measure,
  REPLICAS,
  type Row,
  startReplica,
  startReplicas,
  stop,
} from './replicas/replicas.js';
import {
  ROUTERS,
  type RouterKind,
  type RouterProcess,
  startRouter,
} from './replicas/router-process.js';

// Three real replicas behind routers that others have written, under conversations: by turns and by
// prefix, then with a tier in Redis; and the same with a replica, the router, and Redis killed in
// the middle.

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
/** What arrives from Redis, and waits to be written, lies in host memory. */
const HOST_MIB = 16;
const HOST = ['--kv-host-memory', `${HOST_MIB}MiB`];

const { python, absent } = await pythonEnvironment();
if (absent !== undefined) throw new Error(absent);

const routerOf = (
  kind: RouterKind,
  policy: 'round_robin' | 'cache_aware',
  replicas: readonly OctavoServer[],
  port?: number,
): Promise<RouterProcess> =>
  startRouter({
    python,
    kind,
    policy,
    replicas: replicas.map(({ url }) => url),
    flags: policy === 'cache_aware' ? BALANCE : [],
    ...(port !== undefined && { port }),
  });

const rows: Row[] = [];
const losses: Cell[][] = [];

async function measureBehind(
  kind: RouterKind,
  policy: 'round_robin' | 'cache_aware',
  replicas: readonly OctavoServer[],
  more = '',
): Promise<void> {
  const router = await routerOf(kind, policy, replicas);
  rows.push(await measure(`${kind}, ${policy}${more}`, router.url, replicas, LOAD));
  await router.kill();
}

const big = await startReplica(REPLICAS * CACHE_MIB);
const one = 'one server with a cache as large as all three';
const oneCache = await measure(one, big.url, [big], LOAD);
rows.push(oneCache);
await stop(big);
const expected = textsOf(oneCache.results);

const replicas = await startReplicas(
  '--kv-events-endpoint',
  '@tcp://127.0.0.1:*',
  '--kv-events-replay-endpoint',
  'tcp://127.0.0.1:*',
);
for (const kind of ROUTERS) {
  await measureBehind(kind, 'round_robin', replicas);
  await measureBehind(kind, 'cache_aware', replicas);
}

for (const kind of ROUTERS) {
  const router = await routerOf(kind, 'cache_aware', replicas);
  // One that has requests; another takes its place afterwards, under its address.
  const victim = replicas[1];
  const name = `${kind}: a replica is killed`;
  const kill = (): Promise<void> => stop(victim);
  losses.push(await withLoss({ name, url: router.url, replicas, kill }, LOAD, expected));
  await router.kill();
  replicas[1] = await startReplica(CACHE_MIB, '--port', new URL(victim.url).port);
}
for (const kind of ROUTERS) {
  const router = await routerOf(kind, 'cache_aware', replicas);
  const started: RouterProcess[] = [];
  const kill = async (): Promise<void> => {
    await router.kill();
    started.push(await routerOf(kind, 'cache_aware', replicas, router.port));
  };
  const name = `${kind}: the router is killed, and another one started`;
  losses.push(await withLoss({ name, url: router.url, replicas, kill }, LOAD, expected));
  for (const next of started) await next.kill();
}
await Promise.all(replicas.map(stop));

// Host memory alone, so that what Redis adds can be told.
const withMemory = await startReplicas(...HOST);
await measureBehind('vllm-router', 'round_robin', withMemory, `, ${HOST_MIB} MiB of host memory`);
await Promise.all(withMemory.map(stop));

const redis = await startRedis();
const withRedis = await startReplicas(...HOST, '--kv-tier', redis.url);
for (const kind of ROUTERS) {
  await measureBehind(kind, 'round_robin', withRedis, ', the same and Redis');
}
const router = await routerOf('vllm-router', 'round_robin', withRedis);
losses.push(
  await withLoss(
    {
      name: 'vllm-router, round_robin: Redis is killed',
      url: router.url,
      replicas: withRedis,
      kill: () => redis.kill(),
    },
    LOAD,
    expected,
  ),
);
await router.kill();
await Promise.all(withRedis.map(stop));

const best = tokenHitRate(oneCache.results);
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
      columns: COLUMNS,
      rows: rows.map((row) => cellsOf(row, best, expected)),
    },
    { title: 'Losses in the middle of the load', columns: LOSS_COLUMNS, rows: losses },
  ],
});
