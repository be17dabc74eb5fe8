import type { ChildProcess } from 'node:child_process';
import { request } from 'undici';
import { expect, it } from 'vitest';
import { processorShares } from '../../bench/lib/processor-shares.js';
import { RandomStream } from '../../bench/serve/random-stream.js';
import { eventually } from '../support/eventually.js';
import { metric, startOctavo } from '../support/octavo-process.js';
import { slowness } from '../support/slowness.js';
import { contentOf, draw, LOAD, type LoadItem, type Misfortune } from './load.js';

const SECONDS = Number(process.env['OCTAVO_SOAK_SECONDS'] ?? 15);
/** Between two of them all requests have ended, and memory is measured. */
const WINDOWS = 10;
const CLIENTS = 12;
const MAX_DELAY_MS = 50;
/**
 * Where others take more of the processors than this, the delay is theirs as well: only a loop that
 * stands still can be told.
 */
const FOREIGN_SHARE = 0.2;
const BUSY_DELAY_MS = 1000;
/** What may come and go in the heaps with what a thread happens to keep. */
const HEAP_NOISE = 2 ** 20;
/**
 * The allocators of libc and V8 give pages back when they like: of the whole process, peaks are
 * compared.
 */
const PEAK_NOISE = 16 * 2 ** 20;

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/**
 * Sends one request and reads its answer, or behaves as the drawn kind of bad client.
 *
 * @returns null when the client has left
 */
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

/** What `soak-probe.mjs` prints; bytes and milliseconds. */
interface Probe {
  /** The same in all probes, or a thread was not heard. */
  readonly threads: number;
  /** Of all threads, after a collection. */
  readonly heap: number;
  readonly rss: number;
  /** Event-loop delay since the last probe. */
  readonly p99: number;
}

/** @returns what measures the server now; nothing may run meanwhile */
function prober(child: ChildProcess): () => Promise<Probe> {
  let output = '';
  child.stderr?.on('data', (chunk: Buffer) => (output += chunk.toString()));
  return async () => {
    output = '';
    child.kill('SIGUSR2');
    await eventually(() => output.endsWith('}\n'), 'the probe answers');
    return JSON.parse(output) as Probe;
  };
}

/**
 * Least squares: how much the values rise over all of them, and how far they scatter around the
 * line.
 */
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

const median = (values: readonly number[]): number =>
  values.toSorted((a, b) => a - b)[values.length >> 1];

const mib = (bytes: number): string => (bytes / 2 ** 20).toFixed(1);

it('mixed loads with faults: every text as alone, nothing left behind', {
  timeout: (SECONDS + 300) * 1000,
}, async () => {
  // Small, so that requests also wait, share, evict and are preempted; what is kept for clients is
  // full after a moment.
  const { child, url } = await startOctavo(
    '--threads 1 --max-num-seqs 16 --kv-cache-memory 12MiB --max-stored-responses 20'.split(' '),
    { NODE_OPTIONS: `--import ${new URL('../support/soak-probe.mjs', import.meta.url).href}` },
  );
  const pid = child.pid ?? 0;
  const slow = slowness();
  const probe = prober(child);
  const alone = new Map<string, string>();
  for (const item of LOAD) {
    const answer = await send(url, item, false, null);
    expect([item.name, answer?.status]).toEqual([item.name, 200]);
    alone.set(item.name, contentOf(item, answer?.text ?? '', false));
  }
  const counts = { complete: 0, left: 0, refused: 0 };
  const randoms = Array.from({ length: CLIENTS }, (_, i) => new RandomStream(7, 'prompt', i));
  const client = async (random: RandomStream, end: number): Promise<void> => {
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
        const content = contentOf(item, answer.text, stream);
        expect([item.name, content]).toEqual([item.name, alone.get(item.name)]);
        counts.complete++;
      }
    }
  };
  const left = async (): Promise<number[]> => [
    await metric(url, 'vllm:num_requests_running'),
    await metric(url, 'vllm:num_requests_waiting'),
    await metric(url, 'vllm:kv_cache_usage_perc'),
  ];
  await probe();
  const probes: Probe[] = [];
  const foreign: number[] = [];
  for (let window = 0; window < WINDOWS; window++) {
    const shares = processorShares(pid);
    const end = performance.now() + (SECONDS * 1000) / WINDOWS;
    await Promise.all(randoms.map((random) => client(random, end)));
    await expect.poll(left).toEqual([0, 0, 0]);
    foreign.push(shares().foreign);
    probes.push(await probe());
  }
  expect(new Set(probes.map(({ threads }) => threads)).size).toBe(1);
  const delay = median(probes.map(({ p99 }) => p99));
  const others = median(foreign);
  const [first, second] = [probes.slice(0, WINDOWS / 2), probes.slice(WINDOWS / 2)];
  const heap = trend(second.map((seen) => seen.heap));
  const peaks = [first, second].map((half) => Math.max(...half.map(({ rss }) => rss)));
  console.log(
    `soak: ${JSON.stringify(counts)}; event-loop delay p99 ${delay.toFixed(0)} ms, while others took ` +
      `${(100 * others).toFixed(0)} % of the processors; second half: heaps ${mib(second[0].heap)} MiB and ${mib(heap.rise)} ` +
      `(scatter ${mib(heap.scatter)}), resident at most ${mib(peaks[1])} MiB after ${mib(peaks[0])}`,
  );
  for (const count of Object.values(counts)) expect(count).toBeGreaterThan(10);
  expect(delay).toBeLessThan(slow * (others < FOREIGN_SHARE ? MAX_DELAY_MS : BUSY_DELAY_MS));
  expect(heap.rise).toBeLessThan(3 * heap.scatter + HEAP_NOISE);
  expect(peaks[1] - peaks[0]).toBeLessThan(PEAK_NOISE);
  expect((await fetch(`${url}/health`)).status).toBe(200);
});
