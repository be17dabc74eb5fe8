import { Validator } from '@seriousme/openapi-schema-validator';
import type { TSchema } from 'typebox';
import { Compile } from 'typebox/compile';
import { afterEach, describe, expect, test } from 'vitest';
import { AnthropicErrorSchema } from '../../../server/openapi/message-answers.js';
import { OPERATIONS } from '../../../server/openapi/operations.js';
import { ErrorSchema } from '../../../server/openapi/schemas.js';
import { bytesOf } from '../../support/byte-model.js';
import { ScriptedEngine } from '../../support/scripted-engine.js';
import { startTestServer, stopTestServers, type TestServer } from '../../support/test-server.js';

afterEach(stopTestServers);

const engine = (): ScriptedEngine =>
  new ScriptedEngine(({ pooling }) =>
    pooling === null
      ? { steps: [bytesOf('ab'), bytesOf('c')], finish: 'length' }
      : { steps: [[]], finish: 'stop', embedding: new Float32Array(8).fill(1) },
  );

type OpenApi = {
  openapi: string;
  paths: Record<string, Record<string, { requestBody?: object; security: object[] }>>;
};

const documentOf = async ({ url }: TestServer): Promise<OpenApi> => {
  const answer = await fetch(`${url}/openapi.json`);
  expect(answer.status).toBe(200);
  return (await answer.json()) as OpenApi;
};

describe('/openapi.json', () => {
  test('is valid OpenAPI 3.1', async () => {
    const document = await documentOf(await startTestServer(engine()));
    const { valid, errors } = await new Validator().validate(document);
    expect(errors).toBeUndefined();
    expect(valid).toBe(true);
    expect(document.openapi).toBe('3.1.0');
  });

  test('has every route', async () => {
    const settings = { allowRuntimeLoraUpdating: true };
    const { paths } = await documentOf(await startTestServer(engine(), { settings }));
    const found = Object.entries(paths).flatMap(([path, methods]) =>
      Object.keys(methods).map((method) => `${method.toUpperCase()} ${path}`),
    );
    const expected = Object.keys(OPERATIONS).map((name) => name.replaceAll(/:(\w+)/g, '{$1}'));
    expect(found.sort()).toEqual(expected.sort());
  });

  test('shows the schemas that validate', async () => {
    const { paths } = await documentOf(await startTestServer(engine()));
    const body = paths['/v1/chat/completions']?.['post']?.requestBody;
    expect(body).toMatchObject({
      content: {
        'application/json': {
          schema: {
            type: 'object',
            required: ['messages'],
            properties: {
              messages: { type: 'array', minItems: 1 },
              temperature: {
                anyOf: [{ type: 'number', minimum: 0, maximum: 2 }, { type: 'null' }],
              },
            },
          },
        },
      },
    });
  });

  test('says which routes need a key', async () => {
    const { paths } = await documentOf(await startTestServer(engine(), { apiKeys: ['k'] }));
    const open = Object.entries(paths).flatMap(([path, methods]) =>
      Object.values(methods).some(({ security }) => security.length === 0) ? [path] : [],
    );
    expect(open.sort()).toEqual(['/health', '/metrics', '/version']);
  });
});

describe('the document is as strict as the server', () => {
  test('and asks for no key where none is asked for', async () => {
    const document = await documentOf(await startTestServer(engine()));
    expect(document).not.toHaveProperty('components.securitySchemes');
    for (const methods of Object.values(document.paths)) {
      for (const { security } of Object.values(methods)) expect(security).toEqual([]);
    }
  });

  test.each<[string, object]>([
    ['/v1/chat/completions', { messages: [{ role: 'tool' }] }],
    ['/v1/chat/completions', { messages: [{ role: 'user', content: null }] }],
    ['/v1/chat/completions', { messages: [{ role: 'assistant' }] }],
    ['/v1/embeddings', { input: '' }],
    ['/v1/embeddings', { input: ['x', ''] }],
    ['/tokenize', {}],
    ['/tokenize', { prompt: null }],
    ['/tokenize', { prompt: 'x', messages: [{ role: 'user', content: 'x' }] }],
  ])('%s %j', async (path, body) => {
    const server = await startTestServer(engine());
    const { paths } = await documentOf(server);
    const request = paths[path]?.['post']?.requestBody as
      | { content: Record<string, { schema: TSchema }> }
      | undefined;
    const schema = request?.content['application/json']?.schema;
    if (!schema) throw new Error('no schema');
    expect(Compile(schema).Check(body)).toBe(false);
    expect((await server.post(path, body)).status).toBe(400);
  });
});

describe('/docs', () => {
  test('needs no key, and loads nothing but files of this server', async () => {
    const { url } = await startTestServer(engine(), { apiKeys: ['k'] });
    const page = await fetch(`${url}/docs`);
    expect(page.status).toBe(200);
    expect(page.headers.get('content-security-policy')).toContain("script-src 'self'");
    const html = await page.text();
    const links = [...html.matchAll(/(?:src|href)="([^"]+)"/g)].map(([, link]) => link ?? '');
    expect(links.length).toBeGreaterThan(4);
    for (const link of links) {
      const file = await fetch(url + link);
      expect([link, file.status]).toEqual([link, 200]);
      await file.arrayBuffer();
    }
    expect((await fetch(`${url}/v1/models`)).status).toBe(401);
  });
});

const messages = [{ role: 'user', content: 'Hi' }];

describe('answers are as the document says', () => {
  const expectFits = (schema: TSchema | null | undefined, value: unknown): void => {
    if (!schema) throw new Error('no schema');
    expect(Compile(schema).Errors(value)).toEqual([]);
  };

  test.each<[string, object]>([
    ['/v1/chat/completions', { messages }],
    ['/v1/chat/completions', { messages, logprobs: true, top_logprobs: 2 }],
    ['/v1/completions', { prompt: ['a', 'b'], echo: true }],
    ['/v1/completions', { prompt: 'a', logprobs: 1 }],
    ['/v1/embeddings', { input: 'x' }],
    ['/v1/embeddings', { input: ['x', 'y'], encoding_format: 'base64' }],
    ['/v1/responses', { input: 'x', metadata: { a: 'b' } }],
    ['/v1/responses/input_tokens', { input: 'x' }],
    ['/v1/messages', { messages, max_tokens: 5 }],
    ['/v1/messages/count_tokens', { messages }],
    ['/tokenize', { messages }],
    ['/detokenize', { tokens: [97] }],
    ['/reset_prefix_cache', {}],
  ])('POST %s %j', async (path, body) => {
    const { post } = await startTestServer(engine());
    const answer = await post(path, body);
    expect(answer.status).toBe(200);
    expectFits(OPERATIONS[`POST ${path}`]?.answer, await answer.json());
  });

  test.each<[string, object]>([
    ['/v1/chat/completions', { messages, stream_options: { include_usage: true } }],
    ['/v1/completions', { prompt: 'a' }],
    ['/v1/responses', { input: 'x' }],
    ['/v1/messages', { messages, max_tokens: 5 }],
  ])('POST %s, streamed', async (path, body) => {
    const { post } = await startTestServer(engine());
    const text = await (await post(path, { ...body, stream: true })).text();
    const events = [...text.matchAll(/^data: (\{.*)$/gm)].map(([, data]) => data ?? '');
    expect(events.length).toBeGreaterThan(1);
    for (const event of events) expectFits(OPERATIONS[`POST ${path}`]?.event, JSON.parse(event));
  });

  test('kept responses', async () => {
    const { client, url } = await startTestServer(engine());
    const first = await client.responses.create({ model: 'alias', input: 'x' });
    const { id } = await client.responses.create({
      model: 'alias',
      input: 'y',
      previous_response_id: first.id,
    });
    const check = async (name: string, path: string): Promise<void> => {
      const answer = await fetch(url + path, { method: name.split(' ')[0] ?? '' });
      expectFits(OPERATIONS[name]?.answer, await answer.json());
    };
    await check('GET /v1/responses/:id', `/v1/responses/${id}`);
    await check('GET /v1/responses/:id/input_items', `/v1/responses/${id}/input_items`);
    await check('DELETE /v1/responses/:id', `/v1/responses/${id}`);
  });

  test.each([
    '/v1/models',
    '/health',
    '/health_generate',
    '/version',
    '/load',
    '/v1/loads',
    '/get_load',
    '/server_info',
    '/get_server_info',
    '/model_info',
    '/get_model_info',
    '/kv_event_sources',
  ])('GET %s', async (path) => {
    const { url } = await startTestServer(engine());
    expectFits(OPERATIONS[`GET ${path}`]?.answer, await (await fetch(url + path)).json());
  });

  test('errors', async () => {
    const { post } = await startTestServer(engine());
    expectFits(ErrorSchema, await (await post('/v1/embeddings', {})).json());
    expectFits(AnthropicErrorSchema, await (await post('/v1/messages', {})).json());
  });
});
