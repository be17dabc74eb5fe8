import { type FastifyInstance, fastify } from 'fastify';
import OpenAI from 'openai';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { createEngine, type OctavoEngine } from '../../../engine/index.js';
import { octavo } from '../../../server/index.js';

let engine: OctavoEngine;
const apps: FastifyInstance[] = [];

beforeAll(async () => {
  engine = await createEngine({ kvCacheMemory: 64 * 2 ** 20, threads: 1 });
});

afterEach(async () => {
  for (const app of apps.splice(0)) {
    app.server.closeAllConnections();
    await app.close();
  }
});

afterAll(() => engine.close());

/** A user's own server, with parsers, hooks, decorators and errors that Octavo does not know. */
function host(): FastifyInstance {
  const app = fastify();
  app.removeAllContentTypeParsers();
  app.addContentTypeParser('*', { parseAs: 'string' }, (_request, body, done) =>
    done(null, `own:${String(body)}`),
  );
  app.decorateRequest('failure', null);
  app.decorateRequest('generation', null);
  app.setErrorHandler((error, _request, reply) =>
    reply.code(418).send(`mine: ${(error as Error).message}`),
  );
  app.addHook('onRequest', async (request, reply) => {
    reply.header('x-host', 'yes');
    if (request.headers['x-user'] === 'nobody') return reply.code(401).send('who are you?');
    return undefined;
  });
  app.post('/echo', (request, reply) => reply.send(request.body));
  app.get('/fails', () => {
    throw new Error('oops');
  });
  apps.push(app);
  return app;
}

async function listen(app: FastifyInstance): Promise<string> {
  return app.listen({ host: '127.0.0.1', port: 0 });
}

describe('the Fastify plugin', () => {
  it('serves the whole API beside the routes of its host, who notices nothing', async () => {
    const app = host();
    await app.register(octavo, { prefix: '/llm', engine });
    const url = await listen(app);
    await expect.poll(async () => (await fetch(`${url}/llm/health`)).status).toBe(200);

    const client = new OpenAI({ baseURL: `${url}/llm/v1`, apiKey: 'none', maxRetries: 0 });
    const body = { model: 'octavo-tiny', max_tokens: 12, temperature: 0 };
    const messages = [{ role: 'user' as const, content: 'Hello' }];
    const whole = await client.chat.completions.create({ ...body, messages });
    let text = '';
    for await (const chunk of await client.chat.completions.create({
      ...body,
      messages,
      stream: true,
    })) {
      text += chunk.choices[0]?.delta.content ?? '';
    }
    expect(text).toBe(whole.choices[0].message.content);
    const input = { model: 'octavo-tiny', input: 'cat' };
    expect((await client.embeddings.create(input)).data[0].embedding.length).toBe(
      engine.embeddingSize,
    );
    expect((await client.models.list()).data[0].id).toBe('octavo-tiny');
    const response = await client.responses.create({ ...input, max_output_tokens: 16 });
    expect(response.object).toBe('response');
    expect(await (await fetch(`${url}/llm/metrics`)).text()).toContain('vllm:generation_tokens');

    const echo = await fetch(`${url}/echo`, { method: 'POST', body: 'x' });
    expect(await echo.text()).toBe('own:x');
    const failed = await fetch(`${url}/fails`);
    expect([failed.status, await failed.text()]).toEqual([418, 'mine: oops']);
    expect((await fetch(`${url}/nowhere`)).status).toBe(404);
  });

  it('answers with its own errors, under the headers and behind the checks of its host', async () => {
    const app = host();
    await app.register(octavo, { prefix: '/llm', engine, apiKey: ['secret'] });
    const url = await listen(app);
    await expect.poll(async () => (await fetch(`${url}/llm/health`)).status).toBe(200);
    const keyless = await fetch(`${url}/llm/v1/models`);
    expect(keyless.status).toBe(401);
    expect(keyless.headers.get('x-host')).toBe('yes');
    expect(await keyless.json()).toMatchObject({ error: { code: 'invalid_api_key' } });
    const headers = { authorization: 'Bearer secret' };
    const missing = await fetch(`${url}/llm/v1/none`, { headers });
    expect(await missing.json()).toMatchObject({
      error: { message: 'no such route: GET /v1/none' },
    });
    const refused = await fetch(`${url}/llm/v1/models`, { headers: { 'x-user': 'nobody' } });
    expect(await refused.text()).toBe('who are you?');
    const broken = await fetch(`${url}/llm/v1/chat/completions`, {
      method: 'POST',
      headers: { ...headers, 'content-type': 'application/json' },
      body: '{',
    });
    expect(await broken.json()).toMatchObject({ error: { message: 'the body is not valid JSON' } });
  });

  it('serves pages and documents whose links lead below its prefix', async () => {
    const app = host();
    await app.register(octavo, { prefix: '/llm', engine });
    const url = await listen(app);
    await expect.poll(async () => (await fetch(`${url}/llm/health`)).status).toBe(200);
    for (const path of ['/llm', '/llm/', '/llm/dashboard', '/llm/docs']) {
      const page = await (await fetch(url + path)).text();
      const links = [...page.matchAll(/(?:href|src)="(\/[^"]*)"/g)].map(([, link]) => link);
      expect(links.length).toBeGreaterThan(0);
      for (const link of links) {
        expect(link).toMatch(/^\/llm\//);
        const { status } = await fetch(url + link);
        expect([link, status]).toEqual([link, 200]);
      }
    }
    const document = (await (await fetch(`${url}/llm/openapi.json`)).json()) as object;
    expect(document).toMatchObject({ servers: [{ url: '/llm' }] });
  });

  it('says that the model is being loaded, makes its own engine, and ends it with its host', async () => {
    const app = host();
    await app.register(octavo, { prefix: '/llm', kvCacheMemory: 64 * 2 ** 20, threads: 1 });
    // Not over a socket, by which time the model might be there.
    const early = await app.inject('/llm/health');
    expect(early.statusCode).toBe(503);
    expect(early.json()).toMatchObject({ error: { message: 'the model is being loaded' } });
    const url = await listen(app);
    await expect.poll(async () => (await fetch(`${url}/llm/health`)).status).toBe(200);
    await app.close();
    await expect(fetch(`${url}/llm/health`)).rejects.toThrow('fetch failed');
  });

  it('refuses options that mean nothing to it', async () => {
    const message = async (options: object): Promise<string> => {
      const app = fastify();
      return app
        .register(octavo, options)
        .ready()
        .then(
          () => 'ready',
          (error: unknown) => (error as Error).message,
        );
    };
    expect(await message({ engine, kvDtype: 'int8' })).toMatch(/^kvDtype is allowed only without/);
    expect(await message({ port: 1 })).toMatch(/^port is no option/);
    expect(await message({ maxBodySize: 0 })).toMatch(/^maxBodySize must be >= 1/);
  });
});
