import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { decode } from '@msgpack/msgpack';
import { expect, it, onTestFinished } from 'vitest';
import { Dealer } from 'zeromq';
import { pythonEnvironment } from '../../bench/replicas/python-environment.js';
import type { KvEventSource } from '../../server/kv-events/zmq-publisher.js';
import { exitCode, runOctavo, startOctavo } from '../support/octavo-process.js';

const FLAGS = [
  '--kv-events-endpoint',
  '@tcp://127.0.0.1:*',
  '--kv-events-replay-endpoint',
  'tcp://127.0.0.1:*',
  '--kv-events-topic',
  'kv-events',
];

interface WireEvent {
  readonly type: string;
  readonly block_hashes?: readonly (number | bigint)[];
  readonly parent_block_hash?: number | bigint | null;
  readonly token_ids?: readonly number[];
  readonly block_size?: number;
  readonly extra_keys?: unknown;
}

const post = async (url: string, path: string, body: object): Promise<Response> =>
  fetch(url + path, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
  });

/** All events so far, by the replay socket that `/kv_event_sources` names. */
async function eventsOf(url: string): Promise<WireEvent[]> {
  const sources = (await (await fetch(`${url}/kv_event_sources`)).json()) as {
    readonly '0': KvEventSource;
  };
  expect(sources['0']).toMatchObject({ publisher: 'zmq', topic: 'kv-events' });
  const socket = new Dealer({ linger: 0 });
  onTestFinished(() => socket.close());
  socket.connect(sources['0'].replay_endpoint ?? '');
  await socket.send(['', Buffer.alloc(8)]);
  const events: WireEvent[] = [];
  for await (const [, , , payload] of socket) {
    if (payload.length === 0) break;
    const [, batch] = decode(payload, { useBigInt64: true }) as [number, WireEvent[]];
    events.push(...batch);
  }
  return events;
}

const PROMPT = 'Once upon a time, a young owl named Pia lived near the school. '.repeat(4);

/** What a server tells after the same requests: a prompt of several blocks, twice, and a reset. */
async function eventsAfterRequests(): Promise<WireEvent[]> {
  const { url, child } = await startOctavo(FLAGS);
  for (const cache_salt of [undefined, undefined, 'secret']) {
    const body = { prompt: PROMPT, max_tokens: 1, temperature: 0, cache_salt };
    expect((await post(url, '/v1/completions', body)).status).toBe(200);
  }
  expect((await post(url, '/reset_prefix_cache', {})).status).toBe(200);
  const events = await eventsOf(url);
  const tokens = (await (await post(url, '/tokenize', { prompt: PROMPT })).json()) as {
    readonly tokens: readonly number[];
  };
  const [, stored] = events;
  const full = Math.floor(tokens.tokens.length / 16);
  expect(full).toBeGreaterThan(2);
  expect(stored.token_ids).toEqual(tokens.tokens.slice(0, full * 16));
  child.kill('SIGTERM');
  expect(await exitCode(child)).toBe(0);
  return events;
}

it('tells stored blocks once, resets, and equal hashes in every process', async () => {
  const [one, other] = await Promise.all([eventsAfterRequests(), eventsAfterRequests()]);
  expect(one.map(({ type }) => type)).toEqual([
    // Of the start.
    'AllBlocksCleared',
    'BlockStored',
    'BlockStored',
    'AllBlocksCleared',
  ]);
  const [, plain, salted] = one;
  expect(plain).toMatchObject({ parent_block_hash: null, block_size: 16 });
  expect(salted.block_hashes).not.toEqual(plain.block_hashes);
  expect(salted.extra_keys).toEqual([['secret'], ...plain.block_hashes!.slice(1).map(() => null)]);
  expect(other).toEqual(one);
});

it("are what vLLM's own classes decode, replayed and live", async ({ skip }) => {
  const { python, absent } = await pythonEnvironment();
  skip(absent !== undefined, absent);
  const { url } = await startOctavo(FLAGS);
  const ask = async (prompt: string): Promise<void> => {
    const body = { prompt, max_tokens: 1, temperature: 0 };
    expect((await post(url, '/v1/completions', body)).status).toBe(200);
  };
  await ask(PROMPT);
  const sources = (await (await fetch(`${url}/kv_event_sources`)).json()) as {
    readonly '0': KvEventSource;
  };
  const { endpoint, replay_endpoint } = sources['0'];
  const script = fileURLToPath(new URL('../fixtures/kv-events/subscriber.py', import.meta.url));
  const reader = spawn(python, [script, endpoint, replay_endpoint ?? '', '3'], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  onTestFinished(() => void reader.kill('SIGKILL'));
  const lines: string[] = [];
  for await (const line of createInterface({ input: reader.stdout })) {
    // The subscription may take a moment to arrive; what it misses is replayed.
    if (line === 'live') setTimeout(() => void ask(`Another story. ${PROMPT}`), 500);
    else lines.push(line);
  }
  expect(lines.map((line) => JSON.parse(line) as unknown)).toMatchObject([
    { topic: 'kv-events', seq: 0, rank: 0, events: [{ type: 'AllBlocksCleared' }] },
    {
      seq: 1,
      events: [{ type: 'BlockStored', medium: 'GPU', kv_cache_spec_kind: 'full_attention' }],
    },
    { seq: 2, events: [{ type: 'BlockStored', parent_block_hash: null, group_idx: 0 }] },
  ]);
}, 2_000_000);

it('has no sources when events are off, and loads no package for them', async () => {
  const { url } = await startOctavo();
  expect(await (await fetch(`${url}/kv_event_sources`)).json()).toEqual({});
});

it.each([
  [['--kv-events-endpoint', '5557'], /must be tcp:\/\/host:port or ipc:\/\/path/],
  [['--kv-events-replay-endpoint', 'tcp://*:1'], /no events without --kv-events-endpoint/],
  [
    ['--kv-events-endpoint', 'tcp://*:*', '--no-enable-prefix-caching'],
    /no events without prefix caching/,
  ],
])('refuses %j', async (flags, message) => {
  const { code, stderr } = await runOctavo(['serve', '--port', '0', ...flags]);
  expect(code).toBe(2);
  expect(stderr).toMatch(message);
});
