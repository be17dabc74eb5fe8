import { readFileSync } from 'node:fs';
import { request } from 'undici';
import { expect, it } from 'vitest';
import { RandomStream } from '../../bench/serve/random-stream.js';
import { metric, startOctavo } from '../support/octavo-process.js';
import { contentOf, draw, LOAD, type LoadItem, type Misfortune } from './load.js';

const ASKED = process.env['OCTAVO_SOAK_SECONDS'];
const SECONDS = Number(ASKED ?? 20);
/** Seconds. In the whole suite another file's servers take the same two cores, and the delay is theirs: the bound is for a run alone. */
const MAX_DELAY = ASKED === undefined ? 1 : 0.05;
/** Bytes, beside the scatter. Within 10 s a heap that still grows to its working size cannot be told from a leak: the tight bound is for long runs. */
const MAX_RISE = (ASKED === undefined ? 128 : 16) * 2 ** 20;
const CLIENTS = 12;

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** Sends one request and reads its answer as the misfortune has it. @returns null when the client has left */
async function send(
  url: string,
  { path, body }: LoadItem,
  stream: boolean,
  misfortune: Misfortune | null,
): Promise<{ status: number; text: string } | null> {
  const controller = new AbortController();
  if (misfortune === 'abort') setTimeout(() => controller.abort(), 30);
  try {
    const response = await request(url + path, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(stream ? { ...body, stream } : body),
      signal: controller.signal,
    });
    let text = '';
    for await (const chunk of response.body) {
      text += String(chunk);
      if (misfortune === 'disconnect') controller.abort();
      if (misfortune === 'slow reader') await pause(20);
    }
    return { status: response.statusCode, text };
  } catch (error) {
    if (controller.signal.aborted) return null;
    throw error;
  }
}

/** Bytes; only Linux tells. */
function residentBytes(pid: number): number {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  return Number(/VmRSS:\s+(\d+) kB/.exec(status)?.[1] ?? 0) * 1024;
}

/** Least squares: how much the values rise over all of them, and how far they scatter around the line. */
function trend(values: readonly number[]): { rise: number; scatter: number } {
  const n = values.length;
  const meanX = (n - 1) / 2;
  const meanY = values.reduce((sum, value) => sum + value, 0) / n;
  let xy = 0;
  let xx = 0;
  values.forEach((value, x) => {
    xy += (x - meanX) * (value - meanY);
    xx += (x - meanX) ** 2;
  });
  const slope = xy / xx;
  const squares = values.map((value, x) => (value - meanY - slope * (x - meanX)) ** 2);
  return {
    rise: slope * (n - 1),
    scatter: Math.sqrt(squares.reduce((sum, value) => sum + value, 0) / n),
  };
}

it('mixed loads with misfortunes: every text as alone, nothing left behind', {
  timeout: (SECONDS + 60) * 1000,
}, async () => {
  // Small, so that requests also wait, share, evict and are preempted.
  const { child, url } = await startOctavo([
    '--threads',
    '1',
    '--max-num-seqs',
    '16',
    '--kv-cache-memory',
    '12MiB',
  ]);
  const alone = new Map<string, string>();
  for (const item of LOAD) {
    const answer = await send(url, item, false, null);
    expect([item.name, answer?.status]).toEqual([item.name, 200]);
    alone.set(item.name, contentOf(answer?.text ?? '', false));
  }
  // The delay is measured since the last look.
  await metric(url, 'nodejs_eventloop_lag_p99_seconds');
  const pid = child.pid ?? 0;
  const memory: number[] = [];
  const sampling = setInterval(() => memory.push(residentBytes(pid)), 200);
  const end = performance.now() + SECONDS * 1000;
  const counts = { complete: 0, left: 0, refused: 0 };
  const client = async (number: number): Promise<void> => {
    const random = new RandomStream(7, 'prompt', number);
    while (performance.now() < end) {
      const { item, misfortune, stream } = draw(random);
      const answer = await send(url, item, stream, misfortune);
      if (answer === null) {
        counts.left++;
      } else if (misfortune === 'bad request') {
        expect([item.name, answer.status >= 400 && answer.status < 500]).toEqual([item.name, true]);
        counts.refused++;
      } else {
        expect([item.name, answer.status]).toEqual([item.name, 200]);
        const content = contentOf(answer.text, stream);
        expect([item.name, content]).toEqual([item.name, alone.get(item.name)]);
        counts.complete++;
      }
    }
  };
  await Promise.all(Array.from({ length: CLIENTS }, (_, number) => client(number)));
  clearInterval(sampling);
  const lag = await metric(url, 'nodejs_eventloop_lag_p99_seconds');
  const left = async (): Promise<number[]> => [
    await metric(url, 'vllm:num_requests_running'),
    await metric(url, 'vllm:num_requests_waiting'),
    await metric(url, 'vllm:kv_cache_usage_perc'),
  ];
  await expect.poll(left, { timeout: 5000 }).toEqual([0, 0, 0]);
  const { rise, scatter } = trend(memory.slice(memory.length / 2));
  console.log(
    `soak: ${JSON.stringify(counts)}, event-loop delay p99 ${(1000 * lag).toFixed(1)} ms, ` +
      `memory +${(rise / 2 ** 20).toFixed(1)} MiB (scatter ${(scatter / 2 ** 20).toFixed(1)})`,
  );
  for (const count of Object.values(counts)) expect(count).toBeGreaterThan(10);
  expect(lag).toBeLessThan(MAX_DELAY);
  // The garbage collector's saw teeth are the noise.
  expect(rise).toBeLessThan(3 * scatter + MAX_RISE);
  expect((await fetch(`${url}/health`)).status).toBe(200);
});
