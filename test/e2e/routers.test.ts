import { setTimeout } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { freePort } from '../../bench/lib/free-port.js';
import { converse, differing, textsOf } from '../../bench/replicas/conversations.js';
import {
  type PythonEnvironment,
  pythonEnvironment,
} from '../../bench/replicas/python-environment.js';
import { ROUTERS, type RouterKind, startRouter } from '../../bench/replicas/router-process.js';
import { metric, startSharedOctavo } from '../support/octavo-process.js';

type Replica = Awaited<ReturnType<typeof startSharedOctavo>>;

const FLAGS = [
  '--threads',
  '1',
  '--max-queue-time',
  '0',
  '--kv-events-endpoint',
  '@tcp://127.0.0.1:*',
  '--kv-events-replay-endpoint',
  'tcp://127.0.0.1:*',
];
const LOAD = { turns: 3, systemWords: 40, questionWords: 15, answerTokens: 12 };

let environment: PythonEnvironment;
const replicas: Replica[] = [];

// The routers are fetched once on a machine; each command of that has a limit of its own.
beforeAll(async () => {
  environment = await pythonEnvironment();
  if (environment.absent !== undefined) return;
  for (let i = 0; i < 3; i++) replicas.push(await startSharedOctavo(FLAGS));
}, 2_000_000);

afterAll(() => {
  for (const { kill } of replicas) kill();
});

async function routerOf(
  kind: RouterKind,
  policy: string,
  flags: readonly string[] = [],
  urls = replicas.map(({ url }) => url),
) {
  const { python } = environment;
  const router = await startRouter({ python, kind, policy, replicas: urls, flags });
  onTestFinished(() => router.kill());
  return router;
}

/** Requests that each replica has answered since the last call. */
function counter(): () => Promise<number[]> {
  let before = replicas.map(() => 0);
  return async () => {
    const counts = await Promise.all(
      replicas.map(({ url }) => metric(url, 'vllm:request_success_total')),
    );
    const since = counts.map((count, i) => count - before[i]);
    before = counts;
    return since;
  };
}

const complete = async (url: string, prompt: string) => {
  const response = await fetch(`${url}/v1/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ model: 'octavo-tiny', prompt, max_tokens: 4, temperature: 0 }),
  });
  expect(response.status).toBe(200);
  return (await response.json()) as {
    readonly usage: { readonly prompt_tokens_details: { readonly cached_tokens: number } };
  };
};

describe.each(ROUTERS)('three replicas behind %s', (kind) => {
  it('get the same number of requests by round_robin', async ({ skip }) => {
    skip(environment.absent !== undefined, environment.absent);
    // No replica leaves here: without checks of health, none can be left out for a late answer.
    const { url } = await routerOf(kind, 'round_robin', ['--health-check-interval-secs', '3600']);
    const since = counter();
    await since();
    for (let i = 0; i < 9; i++)
      await complete(url, `Question ${i}: what is the capital of France?`);
    expect(await since()).toEqual([3, 3, 3]);
  });

  it('keep a conversation by cache_aware, and answer as one server does', async ({ skip }) => {
    skip(environment.absent !== undefined, environment.absent);
    const { url } = await routerOf(kind, 'cache_aware');
    const since = counter();
    await since();
    const load = { ...LOAD, count: 6, concurrency: 2 };
    const results = await converse(url, load);
    const counts = await since();
    expect(results.map(({ error }) => error)).toEqual(results.map(() => null));
    // Each conversation stays where it began.
    expect(counts.map((count) => count % LOAD.turns)).toEqual([0, 0, 0]);
    expect(Math.max(...counts)).toBeLessThan(18);
    for (const { turn, cachedTokens, promptTokens } of results) {
      if (turn > 0) expect(cachedTokens).toBeGreaterThan(promptTokens / 3);
    }
    const alone = await converse(replicas[0].url, load);
    expect(differing(results, textsOf(alone))).toEqual([]);
  });

  it('lose only the streams of a replica that dies, and the router leaves it alone', async ({
    skip,
  }) => {
    skip(environment.absent !== undefined, environment.absent);
    const victim = await startSharedOctavo(FLAGS);
    onTestFinished(victim.kill);
    const urls = [...replicas.slice(0, 2), victim].map(({ url }) => url);
    const { url } = await routerOf(kind, 'round_robin', [], urls);
    const load = { ...LOAD, turns: 4, answerTokens: 40, count: 12, concurrency: 6 };
    let chunks = 0;
    const retried: string[] = [];
    const results = await converse(url, {
      ...load,
      onOutput: () => {
        if (++chunks === 200) victim.kill();
      },
      onRetry: (error) => retried.push(error),
    });
    const failed = results.filter(({ error }) => error !== null);
    // At most the six that ran, and each of them had begun: with a token, or with the headers of
    // its answer, or sent whole (a 500 of the router's), and then a client may send it again.
    expect(failed.length + retried.length).toBeLessThanOrEqual(6);
    expect(failed.filter(({ firstTokenMs }) => firstTokenMs === null)).toEqual([]);
    expect(retried.filter((error) => !['disconnect', 'http_500'].includes(error))).toEqual([]);
    const alone = await converse(replicas[0].url, load);
    expect(differing(results, textsOf(alone))).toEqual([]);
    expect(results.length - failed.length).toBeGreaterThan(20);
  });

  it('get requests again when they come back under their address', async ({ skip }) => {
    skip(environment.absent !== undefined, environment.absent);
    const atPort = [...FLAGS, '--port', String(await freePort())];
    const first = await startSharedOctavo(atPort);
    onTestFinished(first.kill);
    const { url } = await routerOf(kind, 'round_robin', [], [replicas[0].url, first.url]);
    const countOf = (at: string): Promise<number> => metric(at, 'vllm:request_success_total');
    const answered = (): Promise<number> => countOf(first.url);
    const before = await countOf(replicas[0].url);
    for (let i = 0; i < 4; i++) await complete(url, `Question ${i}`);
    // A server counts a request when its answer has been sent.
    await expect
      .poll(async () => (await countOf(replicas[0].url)) - before + (await answered()))
      .toBe(4);
    expect(await answered()).toBe(2);
    first.kill();
    // No client sees that it is gone, and the other one gets all.
    for (let i = 0; i < 4; i++) await complete(url, `Question ${i}`);
    const second = await startSharedOctavo(atPort);
    onTestFinished(second.kill);
    await expect
      .poll(
        async () => {
          await complete(url, 'Are you back?');
          return answered();
        },
        { interval: 250 },
      )
      .toBeGreaterThan(0);
  });
});

describe('vllm-router by KV events', () => {
  it('sends a request where its prefix is, though it has never routed it', async ({ skip }) => {
    skip(environment.absent !== undefined, environment.absent);
    const sources = await Promise.all(
      replicas.map(async ({ url }) => {
        const answer = (await (await fetch(`${url}/kv_event_sources`)).json()) as {
          readonly '0': { readonly endpoint: string; readonly replay_endpoint: string };
        };
        const { endpoint, replay_endpoint } = answer['0'];
        return { url, endpoint, replay_endpoint };
      }),
    );
    const flags = sources.flatMap(({ url, endpoint, replay_endpoint }) => [
      '--kv-event-source',
      `${url}=${endpoint}`,
      '--kv-event-replay-source',
      `${url}=${replay_endpoint}`,
    ]);
    const router = await routerOf('vllm-router', 'kv_aware', [
      ...flags,
      '--kv-event-model',
      'octavo-tiny',
      '--kv-event-block-size',
      '16',
    ]);
    for (const [i, replica] of replicas.entries()) {
      // The router does not say which events it has read: a busy machine has more than one try,
      // each with a story that no replica has seen.
      for (const patienceMs of [500, 2000, 8000]) {
        const sentence = `The story ${i} of ${patienceMs} is about an owl that lived near the school. `;
        const prompt = sentence.repeat(6);
        await complete(replica.url, prompt);
        await setTimeout(patienceMs);
        const since = counter();
        await since();
        const { usage } = await complete(router.url, `${prompt}And then`);
        const counts = await since();
        if (counts[i] !== 1 && patienceMs < 8000) continue;
        expect(counts[i]).toBe(1);
        expect(usage.prompt_tokens_details.cached_tokens).toBeGreaterThan(60);
        break;
      }
    }
  });
});
