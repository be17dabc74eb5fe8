import { afterEach, describe, expect, test } from 'vitest';
import { bytesOf, EOS } from '../../support/byte-model.js';
import { TestSource } from '../../support/model-source.js';
import { Ollama } from '../../support/ollama-client.js';
import { type Script, ScriptedEngine } from '../../support/scripted-engine.js';
import {
  eventually,
  startTestServer,
  stopTestServers,
  type TestServerOptions,
} from '../../support/test-server.js';
import { toolModel, WEATHER } from '../../support/tool-model.js';

afterEach(stopTestServers);

const model = 'byte-model:latest';
const messages = [{ role: 'user', content: 'Hi' }];
const CALL = [
  'Well.<tool_call>\n{"name": "get_weather", "argu',
  'ments": {"city": "Paris"}}\n</tool_call>',
];

async function start(
  pieces: readonly string[],
  more: Partial<Script> = {},
  options: TestServerOptions = {},
) {
  const engine = new ScriptedEngine(
    ({ pooling }) =>
      pooling === null
        ? {
            steps: [...pieces.map(bytesOf), [EOS]],
            finish: 'stop',
            times: { queued: 1, prefill: 2 },
            ...more,
          }
        : { steps: [[]], finish: 'stop', embedding: Float32Array.of(3, 4, 0, 0, 0, 0, 0, 0) },
    { maxModelLength: 256 },
  );
  const server = await startTestServer(engine, {
    model: toolModel,
    settings: { reasoningParser: 'think' },
    ...options,
  });
  const post = async (path: string, body: object | string) => {
    const response = await server.post(path, body);
    return { status: response.status, body: (await response.json()) as Record<string, unknown> };
  };
  return { engine, server, post, client: new Ollama({ host: server.url }) };
}

const promptOf = (engine: ScriptedEngine): string =>
  Buffer.from(engine.submitted.at(-1)?.request.promptTokenIds ?? []).toString();

describe('/api/chat', () => {
  test('answers whole, with counts and durations', async () => {
    const { client, engine } = await start(['Hel', 'lo']);
    const answer = await client.chat({ model, messages: [...messages], tools: [] });
    expect(answer).toMatchObject({
      model,
      message: { role: 'assistant', content: 'Hello' },
      done: true,
      done_reason: 'stop',
      eval_count: 6,
      prompt_eval_duration: 2_000_000,
    });
    expect(promptOf(engine)).toBe('<user>Hi<assistant>');
    expect(answer.prompt_eval_count).toBe('<user>Hi<assistant>'.length);
    expect(answer.total_duration).toBeGreaterThan(answer.eval_duration);
    expect(Date.now() - new Date(answer.created_at).getTime()).toBeLessThan(60_000);
  });

  test('streams lines of JSON, and does so by default', async () => {
    const { client, server } = await start(['Hel', 'lo']);
    const parts = [];
    for await (const part of client.stream('chat', { model, messages: [...messages] })) {
      parts.push([part.message.content, part.done]);
    }
    expect(parts).toEqual([
      ['Hel', false],
      ['lo', false],
      ['', true],
    ]);
    const response = await server.post('/api/chat', { model, messages });
    expect(response.headers.get('content-type')).toBe('application/x-ndjson');
    expect((await response.text()).trimEnd().split('\n')).toHaveLength(3);
  });

  test.each([false, true])('tells calls when they are complete, stream: %j', async (stream) => {
    const { client, engine } = await start(CALL);
    const call = {
      id: expect.stringMatching(/^call_/) as string,
      function: { index: 0, name: 'get_weather', arguments: { city: 'Paris' } },
    };
    const request = { model, messages: [...messages], tools: [WEATHER] };
    if (stream) {
      const parts = [];
      for await (const { message } of client.stream('chat', request)) {
        parts.push(message);
      }
      expect(parts).toEqual([
        { role: 'assistant', content: 'Well.' },
        { role: 'assistant', content: '', tool_calls: [call] },
        { role: 'assistant', content: '' },
      ]);
    } else {
      const { message, done_reason } = await client.chat(request);
      expect(message).toEqual({ role: 'assistant', content: 'Well.', tool_calls: [call] });
      expect(done_reason).toBe('stop');
    }
    expect(promptOf(engine)).toContain('get_weather');
  });

  test('gives the model its earlier calls, and their results', async () => {
    const { client, engine } = await start(['Sunny.']);
    await client.chat({
      model,
      messages: [
        ...messages,
        {
          role: 'assistant',
          content: '',
          tool_calls: [{ function: { name: 'get_weather', arguments: { city: 'Paris' } } }],
        },
        { role: 'tool', content: '21 degrees', tool_name: 'get_weather' },
      ],
      tools: [WEATHER],
    });
    expect(promptOf(engine)).toContain('21 degrees');
    expect(promptOf(engine)).toContain('Paris');
  });

  test('tells reasoning apart', async () => {
    const { client } = await start(['Hm', 'm.</think>', 'Yes.']);
    const { message } = await client.chat({ model, messages: [...messages], think: true });
    expect(message).toEqual({ role: 'assistant', content: 'Yes.', thinking: 'Hmm.' });
  });

  test('goes on with a last message of the model', async () => {
    const { client, engine } = await start(['lo']);
    await client.chat({ model, messages: [...messages, { role: 'assistant', content: 'Hel' }] });
    expect(promptOf(engine)).toBe('<user>Hi<assistant>Hel');
  });

  test('a format is a grammar, an empty one is none', async () => {
    const { client, engine } = await start(['{}'], {}, { settings: { reasoningParser: 'none' } });
    const schema = { type: 'object', properties: { a: { type: 'integer' } } };
    for (const format of ['json', schema, '']) {
      await client.chat({ model, messages: [...messages], format });
    }
    const grammars = engine.submitted.map(({ request }) => request.grammar);
    expect(grammars).toEqual([
      { kind: 'json-object' },
      { kind: 'json-schema', source: JSON.stringify(schema) },
      null,
    ]);
  });

  test('log-probabilities', async () => {
    const { client } = await start(['Hi']);
    const { logprobs } = await client.chat({
      model,
      messages: [...messages],
      logprobs: true,
      top_logprobs: 2,
    });
    expect(logprobs?.[0]).toMatchObject({ token: 'H', logprob: -0.25 });
    expect(logprobs?.[0]?.top_logprobs).toHaveLength(2);
  });
});

describe('/api/generate', () => {
  test('a prompt is a message of the user, behind a system message', async () => {
    const { client, engine } = await start(['Hello']);
    const answer = await client.generate({ model, prompt: 'Hi', system: 'Be brief.' });
    expect(promptOf(engine)).toBe('<system>Be brief.<user>Hi<assistant>');
    expect(answer.response).toBe('Hello');
    expect(answer.context).toEqual([...bytesOf(promptOf(engine)), ...bytesOf('Hello'), EOS]);
    await client.generate({ model, prompt: 'Go on', context: [...bytesOf('before')] });
    expect(promptOf(engine)).toBe('before<user>Go on<assistant>');
  });

  test('raw is what the model reads', async () => {
    const { client, engine } = await start([' time']);
    const parts = [];
    for await (const part of client.stream('generate', {
      model,
      prompt: 'Once upon a',
      raw: true,
    })) {
      parts.push(part);
    }
    expect(promptOf(engine)).toBe('Once upon a');
    expect(parts.map(({ response }) => response).join('')).toBe(' time');
    expect(parts.at(-1)).not.toHaveProperty('context');
  });

  test('options become those of sampling', async () => {
    const { client, engine } = await start(['x']);
    await client.generate({
      model,
      prompt: 'Hi',
      options: {
        temperature: 0.5,
        top_k: 7,
        top_p: 0.9,
        min_p: 0.05,
        seed: 42,
        num_predict: 5,
        repeat_penalty: 1.2,
        presence_penalty: 0.5,
        stop: ['END'],
        num_ctx: 8192,
        mirostat: 0,
      },
    });
    const { sampling, maxTokens } = engine.submitted[0].request;
    expect(maxTokens).toBe(5);
    expect(sampling).toMatchObject({
      temperature: 0.5,
      topK: 7,
      topP: 0.9,
      minP: 0.05,
      seed: 42,
      repetitionPenalty: 1.2,
      presencePenalty: 0.5,
    });
    await client.generate({
      model,
      prompt: 'Hi',
      options: { num_predict: -1, repeat_last_n: 0, repeat_penalty: 1.3, seed: -1, top_p: 0 },
    });
    const { request } = engine.submitted[1];
    expect(request.maxTokens).toBe(256 - request.promptTokenIds.length);
    expect(request.sampling).toMatchObject({ repetitionPenalty: 1, topK: 1, seed: 7 });
  });

  test('num_predict above what there is room for is no error', async () => {
    const { client, engine } = await start(['x']);
    await client.generate({ model, prompt: 'Hi', options: { num_predict: 100_000 } });
    const { request } = engine.submitted[0];
    expect(request.maxTokens).toBe(256 - request.promptTokenIds.length);
  });
});

describe('errors', () => {
  test.each<[string, object, number, RegExp]>([
    ['a model that there is not', { model: 'raven' }, 404, /^the model 'raven' does not exist$/],
    ['no model', {}, 400, /model/],
    ['images', { images: ['aGk='] }, 400, /^images: images are not read here/],
    ['suffix', { suffix: 'x' }, 400, /^suffix is not supported$/],
    ['a template', { template: '{{ .Prompt }}' }, 400, /^template is not supported$/],
    ['mirostat', { options: { mirostat: 1 } }, 400, /^options.mirostat is not supported/],
    ['a keep_alive', { keep_alive: 'long' }, 400, /^keep_alive must be a time/],
    ['a temperature', { options: { temperature: -1 } }, 400, /options.temperature must be >= 0/],
    ['system with raw', { raw: true, system: 'x' }, 400, /^system is not read with raw: true/],
    [
      'a prompt that is too long',
      { prompt: 'x'.repeat(300) },
      400,
      /maximum context length is 256/,
    ],
  ])('%s', async (name, more, status, message) => {
    const { post } = await start(['x']);
    const base = name === 'no model' ? { prompt: 'Hi' } : { model, prompt: 'Hi' };
    const answer = await post('/api/generate', { ...base, ...more });
    expect(answer).toEqual({ status, body: { error: expect.stringMatching(message) as string } });
  });

  test('within a stream, an error is the last line', async () => {
    const engine = new ScriptedEngine(() => {
      return { steps: [bytesOf('He')], finish: null, beforeStep: () => undefined };
    });
    const server = await startTestServer(engine, { settings: { requestTimeout: 0.2 } });
    const client = new Ollama({ host: server.url });
    const read = async (): Promise<void> => {
      for await (const _ of client.stream('generate', { model, prompt: 'Hi' }));
    };
    await expect(read()).rejects.toThrow('the request took longer than 0.2 s');
  });

  test('fetching and deleting need a flag', async () => {
    const { client, server } = await start(['x']);
    const refused = /runs without --allow-pull/;
    await expect(client.pull({ model: 'owner/name' })).rejects.toThrow(refused);
    await expect(client.delete({ model })).rejects.toThrow(refused);
    expect((await server.post('/api/create', { model: 'x' })).status).toBe(404);
  });
});

test('a body of curl -d is read, one of a page of another site is not', async () => {
  const { server } = await start(['Hello']);
  const form = { 'content-type': 'application/x-www-form-urlencoded' };
  const body = JSON.stringify({ model, messages, stream: false });
  expect((await server.post('/api/chat', body, form)).status).toBe(200);
  const foreign = { ...form, origin: 'http://evil.example' };
  expect((await server.post('/api/chat', body, foreign)).status).toBe(415);
  expect((await server.post('/v1/chat/completions', body, form)).status).toBe(415);
});

describe('embeddings', () => {
  test('of several texts, of length 1, and of one in the older form', async () => {
    const { client } = await start([]);
    const { embeddings, prompt_eval_count } = await client.embed({ model, input: ['one', 'two'] });
    expect(embeddings.map((vector) => vector.slice(0, 2))).toEqual([
      [expect.closeTo(0.6), expect.closeTo(0.8)],
      [expect.closeTo(0.6), expect.closeTo(0.8)],
    ]);
    expect(prompt_eval_count).toBe(6);
    const { embedding } = await client.embeddings({ model, prompt: 'one' });
    expect(embedding).toHaveLength(8);
    expect((await client.embed({ model, input: 'one', dimensions: 2 })).embeddings[0]).toHaveLength(
      2,
    );
  });

  test('what is too long is cut, or refused', async () => {
    const { client, engine } = await start([]);
    await client.embed({ model, input: 'x'.repeat(2000) });
    expect(engine.submitted[0].request.promptTokenIds).toHaveLength(256);
    const whole = client.embed({ model, input: 'x'.repeat(300), truncate: false });
    await expect(whole).rejects.toThrow('maximum context length is 256');
  });
});

describe('models', () => {
  const two = async (settings: TestServerOptions['settings'] = {}) => {
    const [owl, cat] = [new TestSource('owl', 'hoo'), new TestSource('cat', 'mew')];
    const server = await startTestServer(null, { sources: [owl, cat], settings: settings ?? {} });
    return { owl, cat, server, client: new Ollama({ host: server.url }) };
  };

  test('tags lists all, ps those that are loaded', async () => {
    const { client } = await two();
    const names = async (list: Promise<{ models: { name: string }[] }>): Promise<string[]> =>
      (await list).models.map(({ name }) => name);
    expect(await names(client.list())).toEqual(['owl:latest', 'cat:latest']);
    expect(await names(client.ps())).toEqual([]);
    await client.generate({ model: 'cat', prompt: 'Hi', keep_alive: '10m' });
    const { models } = await client.ps();
    expect(models).toMatchObject([{ name: 'cat:latest', size: 100, context_length: 256 }]);
    const left = new Date(models[0].expires_at).getTime() - Date.now();
    expect(left).toBeGreaterThan(300_000);
    expect(left).toBeLessThanOrEqual(600_000);
  });

  test('an empty prompt loads, keep_alive: 0 unloads', async () => {
    const { client, owl } = await two();
    expect(await client.generate({ model: 'owl', prompt: '' })).toMatchObject({
      response: '',
      done: true,
      done_reason: 'load',
    });
    expect(owl.open).toBe(1);
    expect(await client.chat({ model: 'owl', messages: [], keep_alive: 0 })).toMatchObject({
      message: { role: 'assistant', content: '' },
      done_reason: 'unload',
    });
    expect(owl.open).toBe(0);
    await client.generate({ model: 'owl', prompt: 'Hi', keep_alive: 1e-9 });
    await eventually(() => owl.open === 0, 'it is unloaded after its answer');
    expect(owl.engines).toHaveLength(2);
  });

  test('show', async () => {
    const { client } = await start([]);
    const { template, capabilities, model_info } = await client.show({ model });
    expect(template).toBe(toolModel.chatTemplate?.source);
    expect(capabilities).toEqual(expect.arrayContaining(['completion', 'tools', 'embedding']));
    expect(model_info).toMatchObject({ 'unknown.context_length': 256 });
    await expect(client.show({ model: 'raven' })).rejects.toThrow('does not exist');
  });

  test('pull fetches, with its progress; delete forgets', async () => {
    const { client, server, owl } = await two({ allowPull: true });
    const states: string[] = [];
    for await (const { status } of client.stream('pull', { model: 'owl' })) {
      states.push(status);
    }
    expect(states).toEqual(['pulling manifest', 'downloading model.onnx', 'success']);
    expect(await client.pull({ model: 'owl' })).toEqual({ status: 'success' });
    await client.delete({ model: 'owl:latest' });
    expect([owl.removed, (await client.list()).models.length]).toEqual([true, 1]);
    expect((await server.post('/api/show', { model: 'owl' })).status).toBe(404);
  });

  test('the version is that of an Ollama', async () => {
    const { client } = await two();
    expect((await client.version()).version).toMatch(/^\d+\.\d+\.\d+$/);
  });
});
