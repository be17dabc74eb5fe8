import { afterEach, expect, test } from 'vitest';
import { type Clock, systemClock } from '../../../engine/clock.js';
import { OctavoError } from '../../../engine/errors.js';
import type { Settings } from '../../../server/config/settings.js';
import { bytesOf, EOS } from '../../support/byte-model.js';
import { ManualTimers } from '../../support/manual-timers.js';
import { TestSource } from '../../support/model-source.js';
import type { Script } from '../../support/scripted-engine.js';
import {
  eventually,
  startTestServer,
  stopTestServers,
  type TestServer,
} from '../../support/test-server.js';

afterEach(stopTestServers);

/** A server of sources alone: none is loaded at first. */
const serve = (
  sources: readonly TestSource[],
  settings: Partial<Settings> = {},
  clock: Clock = systemClock,
) => startTestServer(null, { sources, settings, clock });

const ask = (server: TestServer, model: string, more: object = {}): Promise<Response> =>
  server.post('/v1/completions', { model, prompt: 'hi', max_tokens: 8, ...more });

async function textOf(response: Response): Promise<string> {
  expect(response.status).toBe(200);
  return ((await response.json()) as { choices: [{ text: string }] }).choices[0].text;
}

async function states(server: TestServer): Promise<Record<string, string>> {
  const { data } = (await (await fetch(`${server.url}/v1/models`)).json()) as {
    data: { id: string; state: string }[];
  };
  return Object.fromEntries(data.map(({ id, state }) => [id, state]));
}

/** A model whose answers end when they are let go. */
function holding(name: string): { source: TestSource; letGo: () => void } {
  let letGo = (): void => undefined;
  const gate = new Promise<void>((resolve) => {
    letGo = resolve;
  });
  const script = (): Script => ({
    steps: [[...bytesOf(name)], [EOS]],
    finish: 'stop',
    beforeStep: (step) => (step === 1 ? gate : undefined),
  });
  return { source: new TestSource(name, script), letGo };
}

test('a model is loaded by the first request for it, once for all who wait', async () => {
  const owl = new TestSource('owl', 'hoo');
  const server = await serve([new TestSource('cat', 'mew'), owl]);
  expect(await states(server)).toEqual({ cat: 'unloaded', owl: 'unloaded' });
  const answers = await Promise.all([1, 2, 3].map(() => ask(server, 'owl').then(textOf)));
  expect(answers).toEqual(['hoo', 'hoo', 'hoo']);
  expect(owl.engines).toHaveLength(1);
  expect(await states(server)).toEqual({ cat: 'unloaded', owl: 'loaded' });
  const metrics = await (await fetch(`${server.url}/metrics`)).text();
  expect(metrics).toContain('vllm:models_loaded 1');
  expect(metrics).toContain('vllm:model_loads_total{model_name="owl"} 1');
  expect(metrics).toMatch(/vllm:generation_tokens_total\{model_name="owl",engine="0"\} 12/);
});

test('of more models than may be loaded, the one goes that was not asked for longest', async () => {
  const all = ['a', 'b', 'c'].map((name) => new TestSource(name, name));
  const server = await serve(all, { maxLoadedModels: 2 });
  for (const name of ['a', 'b', 'a', 'c']) expect(await textOf(await ask(server, name))).toBe(name);
  expect(all.map(({ open }) => open)).toEqual([1, 0, 1]);
  expect(await textOf(await ask(server, 'b'))).toBe('b');
  expect(all.map(({ open }) => open)).toEqual([0, 1, 1]);
});

test('the memory of all loaded models is bounded, too', async () => {
  const [small, large, huge] = [
    new TestSource('small', 's', 400),
    new TestSource('large', 'l', 700),
    new TestSource('huge', 'h', 2000),
  ];
  const server = await serve([small, large, huge], { modelMemory: 1000 });
  await textOf(await ask(server, 'small'));
  await textOf(await ask(server, 'large'));
  expect([small.open, large.open]).toEqual([0, 1]);
  const refused = await ask(server, 'huge');
  expect(refused.status).toBe(503);
  expect(await refused.json()).toMatchObject({
    error: {
      code: 'model_unavailable',
      message: expect.stringMatching(
        /^the model 'huge' cannot be loaded: .*--model-memory 1000/,
      ) as string,
    },
  });
});

test('a model with requests stays until they have ended; then the other one has its turn', async () => {
  const { source: busy, letGo } = holding('busy');
  const other = new TestSource('other', 'o');
  const server = await serve([busy, other], { maxLoadedModels: 1 });
  const running = ask(server, 'busy');
  await eventually(() => busy.engines[0]?.submitted.length === 1, 'it runs');
  const waiting = ask(server, 'other');
  await eventually(
    async () => (await states(server))['other'] === 'loading',
    'the other is asked for',
  );
  // New ones for the first come after: they cannot keep the other out.
  const later = ask(server, 'busy');
  expect(busy.open).toBe(1);
  expect(other.open).toBe(0);
  letGo();
  expect(await textOf(await running)).toBe('busy');
  expect(await textOf(await waiting)).toBe('o');
  expect(await textOf(await later)).toBe('busy');
  expect(busy.engines).toHaveLength(2);
  expect(busy.open + other.open).toBe(1);
});

test('two models that take turns in one place lose no request', async () => {
  const all = ['a', 'b'].map((name) => new TestSource(name, name));
  const server = await serve(all, { maxLoadedModels: 1 });
  const names = Array.from({ length: 60 }, (_, i) => (i % 3 === 0 ? 'a' : 'b'));
  const answers = await Promise.all(
    names.map(async (name, i) => {
      await new Promise((resolve) => setTimeout(resolve, i * 3));
      return textOf(await ask(server, name));
    }),
  );
  expect(answers).toEqual(names);
  expect(all.reduce((sum, { open }) => sum + open, 0)).toBe(1);
});

test('a model is unloaded when no request asks for it, and loaded again', async () => {
  const owl = new TestSource('owl', 'hoo');
  const server = await serve([owl], { keepAlive: '50ms' });
  expect(await textOf(await ask(server, 'owl'))).toBe('hoo');
  await eventually(() => owl.open === 0, 'it is unloaded');
  expect(await textOf(await ask(server, 'owl'))).toBe('hoo');
  expect(owl.engines).toHaveLength(2);
});

test('a model that cannot be loaded is an error of its own, and tried again', async () => {
  const bad = new TestSource('bad', 'x');
  let tries = 0;
  bad.beforeLoad = async () => {
    if (tries++ === 0)
      throw new OctavoError('model_file_corrupt', '/models/bad/config.json: is not JSON');
  };
  const server = await serve([new TestSource('good', 'g'), bad]);
  const refused = await ask(server, 'bad');
  expect(refused.status).toBe(503);
  expect(await refused.json()).toMatchObject({
    error: {
      code: 'model_unavailable',
      message: "the model 'bad' cannot be loaded: bad/config.json: is not JSON",
    },
  });
  expect(await states(server)).toEqual({ good: 'unloaded', bad: 'failed' });
  expect(await textOf(await ask(server, 'good'))).toBe('g');
  expect((await fetch(`${server.url}/health`)).status).toBe(200);
  expect(await textOf(await ask(server, 'bad'))).toBe('x');
});

test('a request waits for its model only so long, and only so many do', async () => {
  const slow = new TestSource('slow', 's');
  slow.beforeLoad = () => new Promise(() => undefined);
  const timers = new ManualTimers();
  const settings = { modelLoadTimeout: 100, maxQueuedRequests: 2 };
  const server = await serve([slow], settings, timers.clock);
  const waiting = [ask(server, 'slow'), ask(server, 'slow')];
  await eventually(async () => (await states(server))['slow'] === 'loading', 'they wait');
  const third = await ask(server, 'slow');
  expect([third.status, third.headers.get('retry-after')]).toEqual([503, '5']);
  expect(await third.json()).toMatchObject({
    error: { code: 'overloaded', message: expect.stringContaining('2 requests wait') as string },
  });
  timers.fire(99, 100);
  for (const answer of await Promise.all(waiting)) {
    expect(answer.status).toBe(503);
    expect(await answer.json()).toMatchObject({
      error: { message: "the model 'slow' was not loaded within 100 s" },
    });
  }
});

test('a failed engine is replaced by the next request for its model; others go on', async () => {
  const [a, b] = [new TestSource('a', 'a'), new TestSource('b', 'b')];
  const server = await serve([a, b]);
  await textOf(await ask(server, 'a'));
  await textOf(await ask(server, 'b'));
  a.engines[0].state = 'failed';
  expect((await fetch(`${server.url}/health`)).status).toBe(200);
  expect(await textOf(await ask(server, 'a'))).toBe('a');
  expect([a.engines.length, b.engines.length]).toEqual([2, 1]);
});

test('sleep unloads what has no requests, a request or wake_up loads it', async () => {
  const { source: busy, letGo } = holding('busy');
  const owl = new TestSource('owl', 'hoo');
  const server = await serve([owl, busy]);
  const post = async (path: string): Promise<number> => (await server.post(path, {})).status;
  const isSleeping = async (query = ''): Promise<unknown> =>
    ((await (await fetch(`${server.url}/is_sleeping${query}`)).json()) as { is_sleeping: boolean })
      .is_sleeping;
  expect(await isSleeping()).toBe(true);
  expect(await post('/wake_up')).toBe(200);
  expect([owl.open, await isSleeping()]).toEqual([1, false]);
  const running = ask(server, 'busy');
  await eventually(() => busy.engines[0]?.submitted.length === 1, 'it runs');
  const slept = post('/sleep?level=1');
  await eventually(() => owl.open === 0, 'the idle one is unloaded');
  expect([busy.open, await isSleeping('?model=owl')]).toEqual([1, true]);
  letGo();
  expect(await textOf(await running)).toBe('busy');
  expect(await slept).toBe(200);
  expect([busy.open, await isSleeping()]).toEqual([0, true]);
  expect(await textOf(await ask(server, 'owl'))).toBe('hoo');
});

test('the dashboard shows the model that is asked for while it is loaded, and else all', async () => {
  const server = await serve([new TestSource('owl', 'hoo'), new TestSource('cat', 'mew')]);
  const stop = new AbortController();
  /** The stream's next events, until one of a name has come. */
  const events = async (query: string) => {
    const response = await fetch(`${server.url}/dashboard/events${query}`, { signal: stop.signal });
    expect(response.status).toBe(200);
    const reader = response.body?.pipeThrough(new TextDecoderStream()).getReader();
    let text = '';
    return async (name: string): Promise<object> => {
      for (;;) {
        const [event, data] = new RegExp(`event: ${name}\ndata: (.*)\n\n`).exec(text) ?? [];
        if (event !== undefined && data !== undefined) {
          text = text.slice(text.indexOf(event) + event.length);
          return JSON.parse(data) as object;
        }
        const { done, value } = (await reader?.read()) ?? { done: true };
        if (done) throw new Error(`the stream ended before ${name}: ${text}`);
        text += value ?? '';
      }
    };
  };
  const all = await events('');
  expect(await all('overview')).toMatchObject({
    fields: [
      'time',
      'seconds',
      'generated',
      'prompt',
      'ttftP50',
      'itlP50',
      'running',
      'waiting',
      'usedBlocks',
    ],
  });
  const asleep = { state: 'unloaded', numBlocks: null, failure: null, waiters: 0, samples: [] };
  const models = [
    { name: 'owl', ...asleep },
    { name: 'cat', ...asleep },
  ];
  expect(await all('models')).toMatchObject({ models });
  // One that is not loaded has nothing else to show.
  const awaited = await events('?model=cat');
  expect(await awaited('models')).toMatchObject({ models });
  await textOf(await ask(server, 'cat'));
  const loaded = { name: 'cat', state: 'loaded', numBlocks: 64, expiresIn: null };
  expect(await awaited('models')).toMatchObject({ models: [models[0], loaded] });
  const cat = await events('?model=cat');
  expect(await cat('server')).toMatchObject({ model: 'cat', models: ['owl', 'cat'] });
  expect((await fetch(`${server.url}/dashboard/events?model=raven`)).status).toBe(404);
  stop.abort();
});

test('pinned prefixes come back with their model', async () => {
  const owl = new TestSource('owl', () => ({ steps: [[]], finish: 'stop', pinnedTokens: 16 }));
  const server = await serve([owl]);
  const pinned = await server.post('/v1/cache/prefixes', { name: 'p', prompt: 'x'.repeat(20) });
  expect(pinned.status).toBe(200);
  await server.post('/sleep', {});
  await server.post('/wake_up', {});
  await eventually(() => owl.engines[1]?.submitted[0]?.request.pin === 'p', 'it is computed again');
});

test('a model that is the caller’s stays loaded', async () => {
  const engine = await new TestSource('own', 'x').load().then((parts) => parts.engine);
  const server = await startTestServer(engine, { settings: { keepAlive: '0' } });
  expect((await server.post('/sleep', {})).status).toBe(200);
  expect(await states(server)).toEqual({ 'byte-model': 'loaded', alias: 'loaded' });
});
