import Anthropic from '@anthropic-ai/sdk';
import { afterEach, describe, expect, test } from 'vitest';
import { ERRORS, type ErrorName, OctavoError } from '../../../engine/errors.js';
import { anthropicStatus } from '../../../server/http/anthropic-errors.js';
import { toAnthropicBody } from '../../../server/http/errors.js';
import { bytesOf } from '../../support/byte-model.js';
import { type Script, ScriptedEngine } from '../../support/scripted-engine.js';
import {
  startTestServer,
  stopTestServers,
  type TestServerOptions,
} from '../../support/test-server.js';
import { toolModel } from '../../support/tool-model.js';

afterEach(stopTestServers);

const body = {
  model: 'byte-model',
  max_tokens: 20,
  messages: [{ role: 'user' as const, content: 'Hi' }],
};

const start = async (options: TestServerOptions = {}, script: Partial<Script> = {}) => {
  const engine = new ScriptedEngine(() => ({
    steps: [bytesOf('a')],
    finish: 'length',
    ...script,
  }));
  const server = await startTestServer(engine, { model: toolModel, ...options });
  const client = new Anthropic({ baseURL: server.url, apiKey: 'none', maxRetries: 0 });
  return { server, client, engine };
};

const errorOf = async (
  asked: Promise<unknown>,
): Promise<InstanceType<typeof Anthropic.APIError>> => {
  const error: unknown = await asked.then(
    () => null,
    (e: unknown) => e,
  );
  expect(error).toBeInstanceOf(Anthropic.APIError);
  return error as InstanceType<typeof Anthropic.APIError>;
};

describe('a wrong field is a 400 that names it', () => {
  const image = { type: 'image', source: { type: 'url', url: 'x' } };
  const call = { type: 'tool_use', id: 'c', name: 'f', input: {} };
  const assistant = { role: 'assistant', content: [call] };
  const result = { type: 'tool_result', tool_use_id: 'c', content: [image] };
  const web = { type: 'web_search_20250305', name: 'web_search' };
  const tool = { name: 'f', input_schema: { type: 'object' } };
  test.each<[string, object, RegExp]>([
    ['max_tokens missing', { max_tokens: undefined }, /missing required field max_tokens/],
    ['max_tokens zero', { max_tokens: 0 }, /max_tokens must be >= 1/],
    ['messages missing', { messages: undefined }, /missing required field messages/],
    [
      'a role',
      { messages: [{ role: 'tool', content: 'x' }] },
      /messages\[0\]\.role must be one of/,
    ],
    ['content', { messages: [{ role: 'user', content: 5 }] }, /messages\[0\]\.content must be/],
    [
      'a block',
      { messages: [{ role: 'user', content: [{ type: 'video' }] }] },
      /messages\[0\]\.content\[0\]\.type must be one of text, image, tool_result/,
    ],
    [
      'an image',
      { messages: [{ role: 'user', content: [image] }] },
      /messages\[0\]\.content\[0\]: the model reads text, not images/,
    ],
    [
      'an image in a result',
      { messages: [assistant, { role: 'user', content: [result] }] },
      /messages\[1\]\.content\[0\]\.content\[0\]: blocks of type image/,
    ],
    [
      'a result of nothing',
      { messages: [{ role: 'user', content: [{ type: 'tool_result', tool_use_id: 'c' }] }] },
      /messages\[0\]\.content\[0\]: there is no tool_use before it with the id 'c'/,
    ],
    ['a call without its result', { messages: [assistant] }, /results must follow/],
    ['no text', { messages: [{ role: 'user', content: [] }] }, /no text in any/],
    ['a tool without a schema', { tools: [{ name: 'f' }] }, /tools\[0\]/],
    ['a kind of tool', { tools: [{ type: 'nonsense', name: 'f' }] }, /tools\[0\]\.type/],
    [
      'a name that is there twice',
      { tools: [web, tool, tool] },
      /tools\[2\]\.name: f is defined twice/,
    ],
    [
      'a schema of no object',
      { tools: [web, { name: 'f', input_schema: { type: 'string' } }] },
      /tools\[1\]\.input_schema of f must be a schema of type object/,
    ],
    [
      'no such tool',
      { tools: [tool], tool_choice: { type: 'tool', name: 'g' } },
      /tool_choice\.name: g is none of the tools/,
    ],
    ['no tool', { tools: [web], tool_choice: { type: 'any' } }, /tool_choice: there is no tool/],
    ['thinking', { thinking: { type: 'hard' } }, /thinking\.type must be one of/],
    [
      'a schema that cannot be enforced',
      { output_config: { format: { type: 'json_schema', schema: { not: {} } } } },
      /output_config\.format\.schema/,
    ],
    ['servers', { mcp_servers: [{ url: 'x' }] }, /mcp_servers is not supported/],
    ['words of chats', { stop: ['x'] }, /stop is not supported/],
    ['logprobs', { logprobs: true }, /logprobs is not supported/],
    [
      'a variable of the template',
      { chat_template_kwargs: { messages: [] } },
      /chat_template_kwargs\.messages cannot be set/,
    ],
  ])('%s', async (_, more, message) => {
    const { server, engine } = await start();
    const answer = await server.post('/v1/messages', { ...body, ...more });
    const error: unknown = await answer.json();
    expect([answer.status, error]).toEqual([
      400,
      {
        type: 'error',
        error: { type: 'invalid_request_error', message: expect.stringMatching(message) as string },
        request_id: answer.headers.get('request-id'),
      },
    ]);
    expect(engine.submitted).toEqual([]);
  });
});

test('tolerates what changes nothing', async () => {
  const { server } = await start();
  const answer = await server.post(
    '/v1/messages?beta=true',
    {
      ...body,
      system: null,
      metadata: { user_id: null },
      service_tier: 'auto',
      context_management: { edits: [{ type: 'clear_thinking_20251015', keep: 'all' }] },
      mcp_servers: [],
      tools: [],
      tool_choice: { type: 'auto' },
      unknown: 1,
    },
    { 'anthropic-version': '2023-06-01', 'anthropic-beta': 'a-2026-01-01,b' },
  );
  expect(answer.status).toBe(200);
});

describe('errors of the client', () => {
  test('a conversation that is too long, in words by which clients shorten it', async () => {
    const { client } = await start();
    const ask = (content: string) =>
      errorOf(client.messages.create({ ...body, messages: [{ role: 'user', content }] }));
    const error = await ask('x'.repeat(250));
    expect(error).toBeInstanceOf(Anthropic.BadRequestError);
    expect(error.apiMessage).toBe('prompt is too long: 267 tokens > 255 maximum');
    expect(error.errorCode).toBe('context_length_exceeded');
  });

  test('a model that is not there', async () => {
    const { client } = await start();
    const error = await errorOf(client.messages.create({ ...body, model: 'claude' }));
    expect(error).toBeInstanceOf(Anthropic.NotFoundError);
    expect(error.type).toBe('not_found_error');
    expect(error.requestID).toMatch(/./);
  });

  test('a body that is too large', async () => {
    const { client } = await start({ settings: { maxBodySize: 1000 } });
    const error = await errorOf(client.messages.create({ ...body, system: 'x'.repeat(2000) }));
    expect([error.status, error.type]).toEqual([413, 'request_too_large']);
  });

  test('too many requests, with the time to wait', async () => {
    const { client } = await start({ settings: { rateLimitRequests: 1 } });
    await client.messages.create(body);
    const error = await errorOf(client.messages.create(body));
    expect(error).toBeInstanceOf(Anthropic.RateLimitError);
    expect([error.status, error.type]).toEqual([429, 'rate_limit_error']);
    expect(Number(error.headers?.get('retry-after'))).toBeGreaterThan(0);
  });

  test('a path that is not there', async () => {
    const { client } = await start();
    const error = await errorOf(client.messages.batches.list().then((page) => page.data));
    expect([error.status, error.type]).toEqual([404, 'not_found_error']);
  });
});

describe('keys', () => {
  const options = { apiKeys: ['right'] };

  test('come as bearer tokens, or in a header of their own', async () => {
    const { server } = await start(options);
    const ask = (key: object) => new Anthropic({ baseURL: server.url, maxRetries: 0, ...key });
    for (const client of [ask({ apiKey: 'right' }), ask({ authToken: 'right' })]) {
      expect(await client.messages.create(body)).toMatchObject({ content: [{ text: 'a' }] });
    }
    const own = { 'x-api-key': 'right' };
    expect((await server.post('/v1/messages', body, own)).status).toBe(200);
    expect((await server.post('/v1/messages', body, { 'x-api-key': 'wrong' })).status).toBe(401);
    const both = { ...own, authorization: 'Bearer wrong' };
    expect((await server.post('/v1/messages', body, both)).status).toBe(401);
    const keys = server.log
      .filter(({ msg, status }) => msg === 'request' && status === 200)
      .map(({ key }) => key);
    expect(new Set(keys).size).toBe(1);
    for (const client of [ask({ apiKey: 'wrong' }), ask({ authToken: 'wrong' })]) {
      const error = await errorOf(client.messages.create(body));
      expect(error).toBeInstanceOf(Anthropic.AuthenticationError);
      expect(error.type).toBe('authentication_error');
    }
  });

  test('are asked for', async () => {
    const { server } = await start(options);
    const answer = await server.post('/v1/messages', body);
    expect([answer.status, await answer.json()]).toMatchObject([
      401,
      { error: { message: expect.stringContaining('x-api-key') as string } },
    ]);
  });

  test('divide the limits, whichever header they come in', async () => {
    const { server } = await start({ apiKeys: ['a', 'b'], settings: { rateLimitRequests: 1 } });
    const status = async (headers: Record<string, string>) =>
      (await server.post('/v1/messages', body, headers)).status;
    expect(await status({ 'x-api-key': 'a' })).toBe(200);
    expect(await status({ 'x-api-key': 'b' })).toBe(200);
    expect(await status({ authorization: 'Bearer a' })).toBe(429);
  });
});

describe('errors of the server', () => {
  const FAILED = new OctavoError('engine_failed', 'secret');

  test('before the answer have a status', async () => {
    const { client } = await start({}, { error: FAILED });
    const error = await errorOf(client.messages.create(body));
    expect(error).toBeInstanceOf(Anthropic.InternalServerError);
    expect([error.status, error.type]).toEqual([500, 'api_error']);
    expect(error.message).not.toContain('secret');
  });

  test('in a stream are its last event', async () => {
    const { client } = await start({}, { error: FAILED });
    const stream = client.messages.stream(body);
    let text = '';
    stream.on('text', (delta) => (text += delta));
    const error = await errorOf(stream.finalMessage());
    expect([text, error.type, error.errorCode]).toEqual(['a', 'api_error', 'engine_failed']);
  });

  test('a queue that is full', async () => {
    const { server, client, engine } = await start(
      { settings: { maxQueuedRequests: 1 } },
      { steps: [], finish: null },
    );
    const waiting = server.post('/v1/messages', body).catch(() => null);
    await expect.poll(() => engine.alive).toHaveLength(1);
    const error = await errorOf(client.messages.create(body));
    expect([error.status, error.type, error.headers?.get('retry-after')]).toEqual([
      529,
      'overloaded_error',
      expect.stringMatching(/^\d+$/),
    ]);
    await stopTestServers();
    await waiting;
  });

  test.each(Object.keys(ERRORS) as ErrorName[])('%s has a type that clients know', (kind) => {
    const error = new OctavoError(kind, 'x');
    const { type } = toAnthropicBody(error, 'id').error;
    const status = anthropicStatus(error);
    const known: Readonly<Record<number, string>> = {
      401: 'authentication_error',
      403: 'permission_error',
      404: 'not_found_error',
      408: 'timeout_error',
      409: 'conflict_error',
      413: 'request_too_large',
      429: 'rate_limit_error',
      503: 'overloaded_error',
      504: 'timeout_error',
      529: 'overloaded_error',
    };
    const usual = status < 500 ? 'invalid_request_error' : 'api_error';
    expect(type).toBe(known[status] ?? usual);
    expect(status).toBe(kind === 'overloaded' ? 529 : ERRORS[kind].status);
  });
});

test('a client that leaves ends its message', async () => {
  const engine = new ScriptedEngine(() => ({ steps: [bytesOf('a')], finish: null }));
  const { url } = await startTestServer(engine);
  const client = new Anthropic({ baseURL: url, apiKey: 'none', maxRetries: 0 });
  const stream = client.messages.stream(body);
  stream.on('text', () => stream.abort());
  await expect(stream.finalMessage()).rejects.toBeInstanceOf(Anthropic.APIUserAbortError);
  await expect.poll(() => engine.alive).toEqual([]);
});
