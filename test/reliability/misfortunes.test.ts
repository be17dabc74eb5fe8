import { Agent, request } from 'undici';
import { expect, it } from 'vitest';
import { processorShares } from '../../bench/lib/processor-shares.js';
import { eventually } from '../support/eventually.js';
import { metric, startOctavo } from '../support/octavo-process.js';
import { MISFORTUNES, type Misfortune } from './misfortunes.js';

const SECONDS = 15;
/** Longer on a slow machine: until some client's output has been held back. */
const MOST_SECONDS = 90;
/** JavaScript's heap in MiB, as in a small container. No client's output may exhaust it. */
const HEAP = 128;
/** The connections that all of them together want to hold are four times as many. */
const CONNECTIONS = 200;
/**
 * Milliseconds. Where others take more of the processors than the share, only what stands still can
 * be told.
 */
const BOUNDS = { health: 500, chat: 3000 };
const BUSY_BOUNDS = { health: 15_000, chat: 20_000 };
const FOREIGN_SHARE = 0.2;

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** Repeats one kind of bad client until `isOver`. @returns how often it ran */
async function repeat(
  misfortune: Misfortune,
  port: number,
  isOver: () => boolean,
): Promise<number> {
  const sockets = new Set<ReturnType<Misfortune['begin']>>();
  let count = 0;
  for (; !isOver(); count++) {
    const socket = misfortune.begin(port);
    sockets.add(socket.once('close', () => void sockets.delete(socket)));
    await pause(misfortune.everyMs);
    while (sockets.size >= misfortune.atOnce && !isOver()) await pause(misfortune.everyMs);
  }
  for (const socket of sockets) socket.destroy();
  return count;
}

interface Seen {
  readonly ms: number[];
  readonly statuses: Set<number>;
}

/** Asks again and again. */
async function ask(
  everyMs: number,
  isOver: () => boolean,
  once: () => Promise<number>,
): Promise<Seen> {
  const seen: Seen = { ms: [], statuses: new Set() };
  while (!isOver()) {
    const start = performance.now();
    seen.statuses.add(await once());
    seen.ms.push(performance.now() - start);
    await pause(everyMs);
  }
  return seen;
}

const percentile = (values: readonly number[], share: number): number =>
  values.toSorted((a, b) => a - b)[Math.ceil(values.length * share) - 1];

it('faults of all kinds at once: memory, connections and latencies stay within bounds', {
  timeout: 180_000,
}, async () => {
  // There is a slot for every request: the test is about memory kept for clients, not about the
  // queue.
  const flags = '--threads 1 --kv-cache-memory 64MiB'.split(' ');
  const { child, url } = await startOctavo(flags, {
    NODE_OPTIONS: `--max-old-space-size=${HEAP}`,
    OCTAVO_MAX_CONNECTIONS: String(CONNECTIONS),
    OCTAVO_RECEIVE_TIMEOUT: '3',
    OCTAVO_UNREAD_TIMEOUT: '60',
    OCTAVO_MAX_QUEUE_TIME: '60',
  });
  const port = Number(new URL(url).port);
  const shares = processorShares(child.pid ?? 0);
  const most = { heap: 0, files: 0, paused: 0 };
  const start = performance.now();
  const isOver = (): boolean => {
    const seconds = (performance.now() - start) / 1000;
    return seconds > MOST_SECONDS || (seconds > SECONDS && most.paused > 0);
  };
  // The health probe connects each time. The chatting client was there first, and stays.
  const health = ask(100, isOver, async () => {
    const { statusCode, body } = await request(`${url}/health`, { reset: true });
    await body.dump();
    return statusCode;
  });
  const dispatcher = new Agent({ connections: 1, bodyTimeout: 0, headersTimeout: 0 });
  const chats = ask(100, isOver, async () => {
    const { statusCode, body } = await request(`${url}/v1/chat/completions`, {
      dispatcher,
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: '{"messages":[{"role":"user","content":"Hi"}],"max_tokens":4}',
    });
    await body.dump();
    return statusCode;
  });
  const watch = ask(500, isOver, async () => {
    const read = async (name: string, key: keyof typeof most): Promise<void> => {
      most[key] = Math.max(most[key], await metric(url, name));
    };
    await read('nodejs_heap_size_used_bytes', 'heap');
    await read('process_open_fds', 'files');
    await read('vllm:num_requests_paused', 'paused');
    return 200;
  });
  const counts = await Promise.all(MISFORTUNES.map((each) => repeat(each, port, isOver)));
  const [healthy, chatted] = await Promise.all([health, chats, watch]);
  await dispatcher.close();
  const others = shares().foreign;
  console.log(
    `misfortunes: ${MISFORTUNES.map(({ name }, i) => `${counts[i]} x ${name}`).join(', ')}; heap at most ` +
      `${(most.heap / 2 ** 20).toFixed(0)} MiB, files ${most.files}, paused ${most.paused}; /health p99 ` +
      `${percentile(healthy.ms, 0.99).toFixed(0)} ms, a chat p50 ${percentile(chatted.ms, 0.5).toFixed(0)} ms and at most ` +
      `${Math.max(...chatted.ms).toFixed(0)} ms, while others took ${(100 * others).toFixed(0)} % of the processors`,
  );
  expect([...healthy.statuses, ...chatted.statuses]).toEqual([200, 200]);
  expect(most.heap).toBeLessThan(0.8 * HEAP * 2 ** 20);
  // Those within the limit, the reserve, the ended ones, and the server's own.
  expect(most.files).toBeLessThan(CONNECTIONS + 64 + 256 + 60);
  expect(most.paused).toBeGreaterThan(0);
  const bounds = others > FOREIGN_SHARE ? BUSY_BOUNDS : BOUNDS;
  expect(percentile(healthy.ms, 0.99)).toBeLessThan(bounds.health);
  expect(Math.max(...chatted.ms)).toBeLessThan(bounds.chat);
  // Nothing of it is left.
  for (const name of ['num_requests_running', 'num_requests_waiting', 'num_requests_paused']) {
    const isNone = async (): Promise<boolean> => (await metric(url, `vllm:${name}`)) === 0;
    await eventually(isNone, name, { seconds: 20, everyMs: 100 });
  }
  expect(await metric(url, 'vllm:kv_cache_usage_perc')).toBe(0);
  const areClosed = async (): Promise<boolean> => (await metric(url, 'process_open_fds')) < 60;
  await eventually(areClosed, 'all connections are closed', { seconds: 10, everyMs: 100 });
});
