import { afterEach, expect, test } from 'vitest';
import type { ServedModel } from '../../engine/text/served-model.js';
import { byteModel, bytesOf, EOS } from '../support/byte-model.js';
import { ScriptedEngine } from '../support/scripted-engine.js';
import {
  eventually,
  startTestServer,
  stopTestServers,
  type TestServer,
} from '../support/test-server.js';

afterEach(stopTestServers);

const owl: ServedModel = { ...byteModel, names: ['owl'] };

/** An engine that always answers with the same text. */
const saying = (text: string): ScriptedEngine =>
  new ScriptedEngine(({ pooling }) =>
    pooling === null
      ? { steps: [[...bytesOf(text), EOS]], finish: 'stop', times: { queued: 1, prefill: 1 } }
      : { steps: [[]], finish: 'stop', embedding: new Float32Array(8).fill(1) },
  );

async function startTwo(
  settings: { rateLimitRequests?: number } = {},
): Promise<{ first: ScriptedEngine; second: ScriptedEngine; server: TestServer }> {
  const [first, second] = [saying('I'), saying('hoo')];
  const server = await startTestServer(first, {
    more: [{ engine: second, model: owl }],
    settings,
  });
  return { first, second, server };
}

const BODIES: readonly (readonly [path: string, body: object])[] = [
  ['/v1/completions', { prompt: 'hi', max_tokens: 4 }],
  ['/v1/chat/completions', { messages: [{ role: 'user', content: 'hi' }] }],
  ['/v1/responses', { input: 'hi' }],
  ['/v1/embeddings', { input: 'hi' }],
];

test.each(BODIES)('%s: the engine of the named model works, and no other', async (path, body) => {
  const { first, second, server } = await startTwo();
  const ask = async (model?: string) => {
    const response = await server.post(path, { ...body, ...(model && { model }) });
    expect(response.status).toBe(200);
    return (await response.json()) as { model: string };
  };
  expect((await ask('owl')).model).toBe('owl');
  expect([first.submitted.length, second.submitted.length]).toEqual([0, 1]);
  expect((await ask('alias')).model).toBe('alias');
  expect([first.submitted.length, second.submitted.length]).toEqual([1, 1]);
  expect((await ask()).model).toBe('byte-model');
  expect([first.submitted.length, second.submitted.length]).toEqual([2, 1]);
});

test('an answer is the text of its model, also as a stream', async () => {
  const { server } = await startTwo();
  const whole = await server.client.completions.create({ model: 'owl', prompt: 'hi' });
  expect(whole.choices[0].text).toBe('hoo');
  const messages = [{ role: 'user' as const, content: 'hi' }];
  const stream = await server.client.chat.completions.create({
    model: 'byte-model',
    messages,
    stream: true,
  });
  let text = '';
  for await (const { choices } of stream) text += choices[0]?.delta.content ?? '';
  expect(text).toBe('I');
});

test('all names are listed, and an unknown one is the 404 that it always was', async () => {
  const { first, second, server } = await startTwo();
  const { data } = await server.client.models.list();
  expect(data.map(({ id }) => id)).toEqual(['byte-model', 'alias', 'owl']);
  expect((await server.client.models.retrieve('owl')).id).toBe('owl');
  const refused = {
    error: { message: "the model 'raven' does not exist", param: 'model', code: 'model_not_found' },
  };
  for (const [path, body] of [...BODIES, ['/tokenize', { prompt: 'hi' }] as const]) {
    const response = await server.post(path, { ...body, model: 'raven' });
    expect(response.status).toBe(404);
    expect(await response.json()).toMatchObject(refused);
  }
  expect((await fetch(`${server.url}/v1/models/raven`)).status).toBe(404);
  expect(first.submitted.length + second.submitted.length).toBe(0);
});

test('metrics say which model they are of, one head for each', async () => {
  const { server } = await startTwo();
  for (const model of ['byte-model', 'owl', 'owl']) {
    await (await server.post('/v1/completions', { model, prompt: 'hi', max_tokens: 4 })).text();
  }
  const text = await (await fetch(`${server.url}/metrics`)).text();
  const value = (name: string, model: string): number => {
    const start = `${name}{`;
    const line = text
      .split('\n')
      .find((l) => l.startsWith(start) && l.includes(`model_name="${model}"`));
    return Number(line?.split(' ').at(-1));
  };
  expect(value('vllm:prompt_tokens_total', 'byte-model')).toBe(2);
  expect(value('vllm:prompt_tokens_total', 'owl')).toBe(4);
  expect(value('vllm:generation_tokens_total', 'owl')).toBe(8);
  expect(value('vllm:num_requests_running', 'owl')).toBe(0);
  const heads = text.split('\n').filter((line) => line.startsWith('# TYPE '));
  expect(heads).toHaveLength(new Set(heads).size);
  expect(text).toMatch(
    /^http_requests_total\{method="POST",route="\/v1\/completions",status="200"\} 3$/m,
  );
});

test('a model whose queue is full refuses its own requests only', async () => {
  const silent = new ScriptedEngine(() => ({ steps: [], finish: null }));
  const server = await startTestServer(silent, {
    more: [{ engine: saying('hoo'), model: owl }],
    settings: { maxQueuedRequests: 1 },
  });
  const ask = (model: string): Promise<Response> =>
    server.post('/v1/completions', { model, prompt: 'hi', max_tokens: 4 });
  const held = ask('byte-model').catch(() => null);
  await eventually(() => silent.submitted.length === 1, 'the queue of the first is full');
  expect((await ask('byte-model')).status).toBe(503);
  expect((await ask('owl')).status).toBe(200);
  server.app.server.closeAllConnections();
  await held;
});

test('a client has one budget of requests for all models', async () => {
  const { server } = await startTwo({ rateLimitRequests: 2 });
  const ask = async (model: string): Promise<number> =>
    (await server.post('/v1/completions', { model, prompt: 'hi', max_tokens: 4 })).status;
  expect(await ask('owl')).toBe(200);
  expect(await ask('byte-model')).toBe(200);
  expect(await ask('owl')).toBe(429);
});

test('the server is healthy while all engines are, and resets the caches of all', async () => {
  const { first, second, server } = await startTwo();
  const resets: string[] = [];
  first.resetPrefixCache = async () => resets.push('first') > 0;
  second.resetPrefixCache = async () => resets.push('second') > 0;
  const status = async (path: string, method = 'GET'): Promise<number> =>
    (await fetch(server.url + path, { method })).status;
  expect(await status('/health')).toBe(200);
  expect(await status('/reset_prefix_cache', 'POST')).toBe(200);
  expect(resets).toEqual(['first', 'second']);
  second.state = 'failed';
  expect(await status('/health')).toBe(503);
  const answer = await server.post('/v1/completions', { prompt: 'hi', max_tokens: 4 });
  expect(answer.status).toBe(200);
});

test('two models cannot have one name', async () => {
  const more = [{ engine: saying('x'), model: { ...owl, names: ['alias'] as const } }];
  await expect(startTestServer(saying('I'), { more })).rejects.toThrow(
    'two models are called alias',
  );
});
