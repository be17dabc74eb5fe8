import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { startOctavo } from './lib/octavo-server.js';
import { type Cell, median, publish } from './lib/report.js';
import { embeddedModelClient } from './serve/client.js';
import { newLoadState, runLoad } from './serve/run-load.js';
import { summarize } from './serve/statistics.js';
import { Workload } from './serve/workload.js';

// What a running batch costs clients: the compiled server with the embedded model, and clients in a
// closed loop, in turn with a batch beside them and without one.

const SECONDS = Number(process.argv[2] ?? 10);
const WARM_SECONDS = 2;
const ROUNDS = 5;
const TOKENS = 128;
/** Clients at a time; the batch may have as many seats as are left, up to the default's share. */
const CLIENTS = [1, 8, 64] as const;
/** More than are answered in a round. */
const LINES = 20_000;
const ENDPOINT = '/v1/completions';

interface Figures {
  readonly ttft: { readonly p50: number; readonly p99: number };
  readonly itl: { readonly p50: number; readonly p99: number };
  /** Of the clients. */
  readonly requestsPerSecond: number;
  /** Of the batch. */
  readonly linesPerSecond: number;
}

const now = (): number => performance.now();
const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));
const directory = mkdtempSync(join(tmpdir(), 'octavo-bench-batches-'));
const root = fileURLToPath(new URL('..', import.meta.url));
const flags = ['--batch-dir', directory, '--max-batch-file-size', '64MiB'];
const { child, url } = await startOctavo(root, flags);

interface BatchState {
  readonly id: string;
  readonly request_counts: { readonly completed: number };
}

async function api<Answer>(path: string, init: RequestInit = {}): Promise<Answer> {
  const response = await fetch(`${url}/v1/${path}`, init);
  if (!response.ok) throw new Error(`${path}: ${await response.text()}`);
  return (await response.json()) as Answer;
}

async function uploaded(): Promise<string> {
  const lines = Array.from({ length: LINES }, (_, i) =>
    JSON.stringify({
      custom_id: String(i),
      method: 'POST',
      url: ENDPOINT,
      body: { prompt: `${i} `.repeat(20), max_tokens: TOKENS, ignore_eos: true },
    }),
  );
  const form = new FormData();
  form.set('purpose', 'batch');
  form.set('file', new Blob([lines.join('\n')]), 'requests.jsonl');
  return (await api<{ id: string }>('files', { method: 'POST', body: form })).id;
}

const input = await uploaded();
let seed = 0;

async function measure(clients: number, hasBatch: boolean): Promise<Figures> {
  seed += 1;
  const batch = hasBatch ? await begun() : null;
  const client = embeddedModelClient(url, 'completions', now);
  const sizes = { inputLength: TOKENS, outputLength: TOKENS, lengthSpread: null, turns: 1 };
  const prompts = {
    sharedPrefix: 0,
    prefixGroups: 1,
    promptFormat: 'ids',
    vocabSize: 2048,
  } as const;
  const workload = new Workload({ dataset: 'fixed', ...sizes, ...prompts, seed }, false);
  const controller = new AbortController();
  const state = newLoadState();
  const { signal } = controller;
  const arrivals = { kind: 'closed', concurrency: clients } as const;
  const count = Number.POSITIVE_INFINITY;
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
  const before = await completed(batch);
  await pause(SECONDS * 1000);
  const lines = (await completed(batch)) - before;
  controller.abort();
  await running;
  await client.close();
  if (batch !== null) await api(`batches/${batch}/cancel`, { method: 'POST' });
  // (What the end has cut has no latency.)
  const ended = state.results.filter(({ endMs }) => {
    return endMs > WARM_SECONDS * 1000 && endMs < (WARM_SECONDS + SECONDS) * 1000;
  });
  const { latencyMs } = summarize(ended, {});
  const { ttft, itl } = latencyMs;
  return {
    ttft,
    itl,
    requestsPerSecond: ended.length / SECONDS,
    linesPerSecond: lines / SECONDS,
  };
}

async function begun(): Promise<string> {
  const body = { input_file_id: input, endpoint: ENDPOINT, completion_window: '24h' };
  const headers = { 'content-type': 'application/json' };
  const init = { method: 'POST', headers, body: JSON.stringify(body) };
  return (await api<BatchState>('batches', init)).id;
}

async function completed(batch: string | null): Promise<number> {
  if (batch === null) return 0;
  return (await api<BatchState>(`batches/${batch}`)).request_counts.completed;
}

await measure(8, false);
const rows: Cell[][] = [];
for (const clients of CLIENTS) {
  const rounds: Record<'alone' | 'beside', Figures[]> = { alone: [], beside: [] };
  for (let round = 0; round < ROUNDS; round++) {
    // In turn: what else the machine does changes with time.
    rounds.alone.push(await measure(clients, false));
    rounds.beside.push(await measure(clients, true));
  }
  for (const [name, figures] of Object.entries(rounds)) {
    const of = (value: (one: Figures) => number): number => median(figures.map(value));
    rows.push([
      clients,
      name === 'alone' ? 'none' : 'runs',
      of(({ ttft }) => ttft.p50),
      of(({ ttft }) => ttft.p99),
      of(({ itl }) => itl.p50),
      of(({ itl }) => itl.p99),
      of(({ requestsPerSecond }) => requestsPerSecond),
      of(({ linesPerSecond }) => linesPerSecond),
    ]);
  }
}
child.kill('SIGTERM');
await once(child, 'exit');
rmSync(directory, { recursive: true, force: true });

publish({
  name: 'batches',
  command: 'npm run bench:batches',
  about:
    `octavo-tiny (\`serve --batch-dir\`): clients in a closed loop, streams of ${TOKENS} tokens in and out, in turn with a batch of ` +
    `${TOKENS} tokens a line beside them and without one; medians of ${ROUNDS} rounds of ${SECONDS} s after ${WARM_SECONDS} s. Clients and server share the machine.`,
  tables: [
    {
      title: 'What a batch costs clients',
      columns: [
        'clients',
        'batch',
        'TTFT p50 ms',
        'TTFT p99 ms',
        'inter-token p50 ms',
        'inter-token p99 ms',
        'requests/s',
        'lines/s of the batch',
      ],
      rows,
    },
  ],
});
