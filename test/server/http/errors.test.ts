import { connect } from 'node:net';
import { afterEach, describe, expect, test } from 'vitest';
import { OctavoError } from '../../../engine/errors.js';
import type { ErrorBody } from '../../../server/http/errors.js';
import { bytesOf } from '../../support/byte-model.js';
import { ScriptedEngine } from '../../support/scripted-engine.js';
import { startTestServer, stopTestServers } from '../../support/test-server.js';

afterEach(stopTestServers);

const CHAT = '/v1/chat/completions';
const messages = [{ role: 'user', content: 'Hi' }];
const silent = (): ScriptedEngine =>
  new ScriptedEngine(() => ({ steps: [[65]], finish: 'length' }));

async function errorOf(response: Response): Promise<ErrorBody['error']> {
  const body = (await response.json()) as ErrorBody;
  expect(Object.keys(body)).toEqual(['error']);
  expect(Object.keys(body.error).sort()).toEqual(['code', 'message', 'param', 'type']);
  expect(body.error.message.length).toBeLessThan(500);
  return body.error;
}

describe('a wrong field is a 400 that names it', () => {
  test.each<[string, Record<string, unknown>, string, RegExp]>([
    ['messages missing', { messages: undefined }, 'messages', /missing required field messages/],
    ['messages empty', { messages: [] }, 'messages', /1 items/],
    ['a role', { messages: [{ role: 5, content: '' }] }, 'messages[0].role', /must be string/],
    [
      'content',
      { messages: [{ role: 'user', content: 5 }] },
      'messages[0].content',
      /string or array/,
    ],
    ['no content', { messages: [{ role: 'user' }] }, 'messages[0].content', /missing/],
    [
      'an image',
      {
        messages: [
          { role: 'user', content: [{ type: 'image_url', image_url: { url: 'data:,' } }] },
        ],
      },
      'messages[0].content[0]',
      /the model reads text, not images/,
    ],
    [
      'the template refuses',
      { messages: [{ role: 'tool', content: '' }] },
      'messages',
      /no tools here/,
    ],
    ['temperature high', { temperature: 2.5 }, 'temperature', /<= 2/],
    ['temperature text', { temperature: 'hot' }, 'temperature', /must be number/],
    ['top_p zero', { top_p: 0 }, 'top_p', /> 0/],
    ['max_tokens zero', { max_tokens: 0 }, 'max_tokens', />= 1/],
    ['max_tokens half', { max_tokens: 1.5 }, 'max_tokens', /must be integer/],
    ['n zero', { n: 0 }, 'n', />= 1/],
    ['stop empty', { stop: [''] }, 'stop[0]', /must not be empty/],
    ['seventeen stops', { stop: Array.from({ length: 17 }, () => 'a') }, 'stop', /16 items/],
    ['stop token', { stop_token_ids: [400] }, 'stop_token_ids', /vocabulary of 400/],
    ['stream text', { stream: 'yes' }, 'stream', /must be boolean/],
    [
      'usage without stream',
      { stream_options: { include_usage: true } },
      'stream_options',
      /stream/,
    ],
    [
      'response_format without its schema',
      { response_format: { type: 'json_schema', json_schema: { name: 'x' } } },
      'response_format.json_schema.schema',
      /missing required/,
    ],
    ['best_of', { best_of: 2 }, 'best_of', /not supported/],
  ])('%s', async (_, fields, param, message) => {
    const engine = silent();
    const { post } = await startTestServer(engine);
    const response = await post(CHAT, { messages, ...fields });
    expect(response.status).toBe(400);
    const error = await errorOf(response);
    expect(error).toMatchObject({ param, type: 'invalid_request_error', code: null });
    expect(error.message).toMatch(message);
    expect(engine.submitted).toEqual([]);
  });

  test('null and neutral values ask for nothing, and unknown fields are ignored', async () => {
    const { post } = await startTestServer(silent());
    const response = await post(CHAT, {
      messages,
      temperature: null,
      stop: null,
      tools: null,
      logprobs: false,
      response_format: { type: 'text' },
      logit_bias: {},
      frequency_penalty: 0,
      a_field_of_the_future: { x: 1 },
    });
    expect(response.status).toBe(200);
  });
});

describe('the table of errors', () => {
  test.each<[string, string, string, unknown, Record<string, string>, number, object]>([
    ['broken JSON', 'POST', CHAT, '{"a":', {}, 400, { param: null }],
    ['empty body', 'POST', CHAT, '', {}, 400, { param: null }],
    ['a list', 'POST', CHAT, [], {}, 400, { param: null }],
    ['null', 'POST', CHAT, 'null', {}, 400, { param: null }],
    ['another type', 'POST', CHAT, 'a=b', { 'content-type': 'text/plain' }, 415, {}],
    ['too large', 'POST', CHAT, { pad: 'x'.repeat(5000) }, {}, 413, {}],
    ['no such route', 'POST', '/v1/nope', {}, {}, 404, { code: null }],
    [
      'no such model',
      'POST',
      CHAT,
      { messages, model: 'm' },
      {},
      404,
      { code: 'model_not_found', param: 'model' },
    ],
    [
      'prompt too long',
      'POST',
      '/v1/completions',
      { prompt: 'x'.repeat(300) },
      {},
      400,
      { code: 'context_length_exceeded' },
    ],
    ['prompt empty', 'POST', '/v1/completions', { prompt: '' }, {}, 400, { param: 'prompt' }],
    [
      'alien id',
      'POST',
      '/v1/completions',
      { prompt: [[1], [400]] },
      {},
      400,
      { param: 'prompt[1]' },
    ],
    [
      'suffix',
      'POST',
      '/v1/completions',
      { prompt: 'x', suffix: 'y' },
      {},
      400,
      { param: 'suffix' },
    ],
    ['alien token', 'POST', '/detokenize', { tokens: [999] }, {}, 400, { param: 'tokens' }],
    ['neither', 'POST', '/tokenize', {}, {}, 400, { param: 'prompt' }],
  ])('%s', async (_, method, path, body, headers, status, expected) => {
    const { url } = await startTestServer(silent(), { settings: { maxBodySize: 4000 } });
    const response = await fetch(url + path, {
      method,
      headers: { 'content-type': 'application/json', ...headers },
      body: typeof body === 'string' ? body : JSON.stringify(body),
    });
    expect(response.status).toBe(status);
    expect(await errorOf(response)).toMatchObject(expected);
  });

  test('both numbers of a context that is too short', async () => {
    const { post } = await startTestServer(silent());
    const error = await errorOf(await post(CHAT, { messages, max_tokens: 250 }));
    expect(error.message).toMatch(/256.*269/);
  });

  test('another method is a 405 with Allow, for plain and parametric routes', async () => {
    const { url } = await startTestServer(silent());
    const chat = await fetch(url + CHAT);
    expect([chat.status, chat.headers.get('allow')]).toEqual([405, 'POST']);
    await errorOf(chat);
    const model = await fetch(`${url}/v1/models/x?y=1`, { method: 'DELETE' });
    expect([model.status, model.headers.get('allow')]).toEqual([405, 'GET, HEAD']);
  });

  test('a request without a route is answered for that, whatever its body is', async () => {
    const { url } = await startTestServer(silent());
    const ask = async (method: string, path: string, type?: string): Promise<number> => {
      const body = type === undefined ? null : '{';
      const headers = new Headers(type === undefined ? {} : { 'content-type': type });
      const response = await fetch(url + path, { method, body, headers });
      await errorOf(response);
      return response.status;
    };
    // A QUERY must have a content type; here it has no route.
    expect(await ask('QUERY', '/v1/models')).toBe(405);
    expect(await ask('POST', '/v1/nowhere', 'application/json')).toBe(404);
    expect(await ask('PUT', CHAT, 'text/plain')).toBe(405);
    expect(await ask('POST', CHAT, 'application/json')).toBe(400);
  });

  test('at most 200 characters of input come back', async () => {
    const { post } = await startTestServer(silent());
    const error = await errorOf(await post(CHAT, { messages, model: 'M'.repeat(3000) }));
    expect(error.message.match(/M/g)?.length).toBeLessThanOrEqual(200);
  });

  test('keys guard all but the open routes', async () => {
    const { url, log } = await startTestServer(silent(), { apiKeys: ['secret-1', 'secret-2'] });
    const status = async (path: string, key?: string): Promise<number> =>
      (await fetch(url + path, key ? { headers: { authorization: `Bearer ${key}` } } : {})).status;
    expect(await status('/v1/models')).toBe(401);
    expect(await status('/v1/models', 'secret-')).toBe(401);
    expect(await status('/v1/models', 'secret-2')).toBe(200);
    expect(await status('/%761/models')).toBe(401);
    expect(await status('/v1/nope')).toBe(401);
    expect(await status('/tokenize')).toBe(405);
    expect((await fetch(`${url}/tokenize`, { method: 'POST' })).status).toBe(401);
    for (const open of ['/health', '/metrics', '/version']) expect(await status(open)).toBe(200);
    expect(JSON.stringify(log)).not.toContain('secret');
  });

  test('what is not HTTP gets an error body, too', async () => {
    const { port } = await startTestServer(silent());
    const socket = connect(port, '127.0.0.1').setEncoding('utf8');
    socket.write('nonsense\r\n\r\n');
    let text = '';
    for await (const piece of socket) text += String(piece);
    expect(text).toMatch(/^HTTP\/1.1 400 [^]*\{"error":\{"message":/);
  });
});

describe('the engine fails', () => {
  const failure = new OctavoError('engine_failed', 'the engine has failed: /secret/path.ts:1');
  const failing = (): ScriptedEngine =>
    new ScriptedEngine(() => ({ steps: [bytesOf('ab')], finish: null, error: failure }));

  test('before the answer: a 500 without internals', async () => {
    const { post, log } = await startTestServer(failing());
    const response = await post(CHAT, { messages });
    expect(response.status).toBe(500);
    const error = await errorOf(response);
    expect(error.code).toBe('engine_failed');
    expect(error.message).not.toContain('secret');
    expect(JSON.stringify(log)).toContain('/secret/path.ts');
  });

  test('in a stream: one error event, then the end', async () => {
    const { post } = await startTestServer(failing());
    const response = await post(CHAT, { messages, stream: true });
    expect(response.status).toBe(200);
    const events = (await response.text()).trim().split('\n\n');
    expect(events.at(-1)).toMatch(/^data: \{"error":\{"message":.*"code":"engine_failed"\}\}$/);
    expect(events.at(-2)).toContain('ab');
  });

  test('later: new requests and health say so', async () => {
    const engine = failing();
    const { post, url } = await startTestServer(engine);
    engine.state = 'failed';
    expect((await post(CHAT, { messages })).status).toBe(500);
    expect((await fetch(`${url}/health`)).status).toBe(503);
  });
});
