import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { type OctavoServer, startOctavo } from '../lib/octavo-server.js';
import type { Cell } from '../lib/report.js';
import type { LoadResult } from '../serve/run-load.js';
import { nearestRank } from '../serve/statistics.js';
import { type ConversationOptions, converse, differing, tokenHitRate } from './conversations.js';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));

export const REPLICAS = 3;
/** MiB of one replica's cache: all three hold the conversations that run, one does not. */
export const CACHE_MIB = 23;

/** One load on replicas whose caches were empty. */
export interface Row {
  readonly name: string;
  readonly results: readonly LoadResult[];
  readonly seconds: number;
  /** Requests that each replica has answered. */
  readonly requests: readonly number[];
}

export const startReplica = (mib: number, ...flags: string[]): Promise<OctavoServer> =>
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

export const startReplicas = (...flags: string[]): Promise<OctavoServer[]> =>
  Promise.all(Array.from({ length: REPLICAS }, () => startReplica(CACHE_MIB, ...flags)));

export async function stop({ child }: OctavoServer): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  child.kill('SIGKILL');
  await once(child, 'exit');
}

/** Empties the caches, and all that is behind them. */
export async function reset(replicas: readonly OctavoServer[]): Promise<void> {
  for (const { url } of replicas) {
    const answer = await fetch(`${url}/reset_prefix_cache?reset_external=true`, { method: 'POST' });
    if (!answer.ok) throw new Error(`${url}: ${await answer.text()}`);
  }
}

async function answered(url: string): Promise<number> {
  const text = await (await fetch(`${url}/metrics`)).text();
  const counts = text.matchAll(/^vllm:request_success_total\{.*\} (\d+)$/gm);
  return [...counts].reduce((sum, [, count]) => sum + Number(count), 0);
}

/** A load on fresh caches. @param url of what stands in front of the replicas */
export async function measure(
  name: string,
  url: string,
  replicas: readonly OctavoServer[],
  load: ConversationOptions,
): Promise<Row> {
  process.stderr.write(`${name}\n`);
  await reset(replicas);
  const before = await Promise.all(replicas.map((replica) => answered(replica.url)));
  const begin = performance.now();
  const results = await converse(url, load);
  const seconds = (performance.now() - begin) / 1000;
  const after = await Promise.all(replicas.map((replica) => answered(replica.url)));
  return { name, results, seconds, requests: after.map((count, i) => count - before[i]) };
}

/**
 * @param best the hit rate of one cache
 * @param expected the texts of one server
 * @throws Error when a request has failed
 */
export function cellsOf(
  { name, results, seconds, requests }: Row,
  best: number,
  expected: ReadonlyMap<string, string>,
): Cell[] {
  const failed = results.filter(({ error }) => error !== null);
  if (failed.length > 0) throw new Error(`${name}: ${JSON.stringify(failed[0])}`);
  const times = results.map(({ dueMs, firstTokenMs, endMs }) => (firstTokenMs ?? endMs) - dueMs);
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
}

export const COLUMNS = [
  'setup',
  'token hit rate, %',
  "% of one cache's",
  'requests of each replica',
  'TTFT p50, ms',
  'TTFT p99, ms',
  'seconds',
  'texts that differ',
];
