import type { ServerResponse } from 'node:http';
import OpenAI, { APIConnectionTimeoutError, type APIError, APIUserAbortError } from 'openai';
import { zodResponseFormat, zodTextFormat } from 'openai/helpers/zod';
import { afterEach, beforeAll, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { bytesOf } from '../support/byte-model.js';
import { eventually } from '../support/eventually.js';
import { metric, startSharedOctavo } from '../support/octavo-process.js';
import { ScriptedEngine } from '../support/scripted-engine.js';
import { startTestServer, stopTestServers } from '../support/test-server.js';

const model = 'octavo-tiny';
const CAPITAL = 'What is the capital of France?';
const PARIS = 'The capital of France is Paris.';
const messages = [{ role: 'user' as const, content: CAPITAL }];
/** Takes seconds: it does not end by itself. */
const long = {
  model,
  prompt: 'Once upon a time',
  max_tokens: 2000,
  logit_bias: {},
  ignore_eos: true,
};

const Person = z.object({ name: z.string(), age: z.number() });
const STORY = 'Tell me a story about an owl.';
const ASK_PERSON = 'Give me a JSON object with name Tom and age 7.';
const TOM = { name: 'Tom', age: 7 };

describe('openai', () => {
  let url: string;
  let client: OpenAI;
  beforeAll(async () => {
    const server = await startSharedOctavo(['--api-key', 'right']);
    url = server.url;
    client = new OpenAI({ baseURL: `${url}/v1`, apiKey: 'right', maxRetries: 0 });
    return server.kill;
  });
  const idle = (): Promise<void> =>
    eventually(async () => (await metric(url, 'vllm:num_requests_running')) === 0, 'the end');

  describe('chat.completions', () => {
    it('create, with the response behind it', async () => {
      const { data, response, request_id } = await client.chat.completions
        .create({ model, messages, temperature: 0 })
        .withResponse();
      expect(data.choices[0]?.message.content).toBe(PARIS);
      expect(data).toMatchObject({ _request_id: request_id });
      expect(response.headers.get('x-request-id')).toBe(request_id);
      const raw = await client.chat.completions
        .create({ model, messages, max_tokens: 1 })
        .asResponse();
      expect([raw.status, raw.headers.get('content-type')]).toEqual([
        200,
        'application/json; charset=utf-8',
      ]);
    });

    it('create, with a prediction: the same answer in fewer steps', async () => {
      const steps = (): Promise<number> => metric(url, 'vllm:iteration_tokens_total_count');
      const tale = { model, messages: [{ role: 'user' as const, content: STORY }], seed: 3 };
      const plain = await client.chat.completions.create(tale);
      const text = plain.choices[0]?.message.content ?? '';
      expect(plain.usage?.completion_tokens_details).toEqual({ reasoning_tokens: 0 });
      const before = await steps();
      const { choices, usage } = await client.chat.completions.create({
        ...tale,
        prediction: { type: 'content', content: text },
      });
      expect(choices[0]?.message.content).toBe(text);
      const tokens = usage?.completion_tokens ?? 0;
      const details = usage?.completion_tokens_details;
      expect(details?.accepted_prediction_tokens).toBeGreaterThan(tokens / 2);
      expect(details?.rejected_prediction_tokens).toBeGreaterThanOrEqual(0);
      expect((await steps()) - before).toBeLessThan(tokens / 2);
    });

    it('parse', async () => {
      const { choices } = await client.chat.completions.parse({
        model,
        temperature: 0,
        messages: [{ role: 'user', content: ASK_PERSON }],
        response_format: zodResponseFormat(Person, 'person'),
      });
      expect(choices[0]?.message.parsed).toEqual(TOM);
    });

    it('stream, with the events of the helper', async () => {
      const stream = client.chat.completions.stream({
        model,
        messages,
        temperature: 0,
        logprobs: true,
        stream_options: { include_usage: true },
      });
      let text = '';
      let tokens = 0;
      stream.on('content', (delta) => (text += delta));
      stream.on('logprobs.content.delta', ({ content }) => (tokens += content.length));
      expect(await stream.finalContent()).toBe(PARIS);
      expect(text).toBe(PARIS);
      const usage = await stream.totalUsage();
      // The last token is the end, which is not shown.
      expect(tokens).toBe(usage.completion_tokens - 1);
    });

    it('a stream may be split, and read as lines', async () => {
      const stream = await client.chat.completions.create({
        model,
        messages,
        temperature: 0,
        stream: true,
      });
      const [left, right] = stream.tee();
      const text = async (part: AsyncIterable<OpenAI.ChatCompletionChunk>): Promise<string> => {
        let all = '';
        for await (const { choices } of part) all += choices[0]?.delta.content ?? '';
        return all;
      };
      expect(await Promise.all([text(left), text(right)])).toEqual([PARIS, PARIS]);
      const again = await client.chat.completions.create({
        model,
        messages,
        max_tokens: 2,
        stream: true,
      });
      const lines = (await new Response(again.toReadableStream()).text()).trim().split('\n');
      expect(
        lines.every(
          (line) => (JSON.parse(line) as { object: string }).object === 'chat.completion.chunk',
        ),
      ).toBe(true);
    });

    // Nothing of a chat is stored.
    it.each<[string, (api: OpenAI.Chat.Completions) => Promise<unknown>, number]>([
      ['retrieve', (api) => api.retrieve('chatcmpl-1'), 404],
      ['update', (api) => api.update('chatcmpl-1', { metadata: {} }), 404],
      ['delete', (api) => api.delete('chatcmpl-1'), 404],
      ['messages.list', (api) => api.messages.list('chatcmpl-1'), 404],
      ['list', (api) => api.list(), 405],
    ])('%s is a clear error', async (_, call, status) => {
      await expect(call(client.chat.completions)).rejects.toMatchObject({
        status,
        type: 'invalid_request_error',
        message: expect.stringMatching(
          /no such route|is not allowed; this route takes POST/,
        ) as string,
      });
    });
  });

  it('completions.create, whole and streamed', async () => {
    const body = { model, prompt: 'Once upon a time', temperature: 0, max_tokens: 6 };
    const { choices, usage } = await client.completions.create(body);
    expect(usage?.completion_tokens).toBe(6);
    let text = '';
    for await (const chunk of await client.completions.create({ ...body, stream: true })) {
      text += chunk.choices[0]?.text ?? '';
    }
    expect(text).toBe(choices[0]?.text);
  });

  describe('embeddings.create', () => {
    it('is the same as floats, as base64, and as the client asks by itself', async () => {
      const body = { model, input: ['an owl', 'a mill'] };
      const own = await client.embeddings.create(body);
      const floats = await client.embeddings.create({ ...body, encoding_format: 'float' });
      const encoded = await client.embeddings.create({ ...body, encoding_format: 'base64' });
      for (const [i, { embedding }] of floats.data.entries()) {
        expect(
          embedding.every((x, k) => Math.abs(x - (own.data[i]?.embedding[k] ?? 9)) < 1e-6),
        ).toBe(true);
        const bytes = Buffer.from(String(encoded.data[i]?.embedding), 'base64');
        expect(bytes.length).toBe(embedding.length * 4);
        expect(bytes.readFloatLE(4)).toBeCloseTo(embedding[1] ?? 9, 6);
      }
    });

    it('with fewer dimensions', async () => {
      const { data } = await client.embeddings.create({ model, input: 'an owl', dimensions: 8 });
      expect(data[0]?.embedding).toHaveLength(8);
    });
  });

  it('models: list and retrieve; delete is a clear error', async () => {
    const ids: string[] = [];
    for await (const { id } of client.models.list()) ids.push(id);
    expect(ids).toEqual([model]);
    expect(await client.models.retrieve(model)).toMatchObject({ id: model, object: 'model' });
    await expect(client.models.delete(model)).rejects.toMatchObject({ status: 405 });
  });

  describe('responses', () => {
    it('create, retrieve, inputItems, continue, delete', async () => {
      const made = await client.responses.create({ model, input: CAPITAL, temperature: 0 });
      expect(made.output_text).toBe(PARIS);
      expect((await client.responses.retrieve(made.id)).output).toEqual(made.output);
      const next = await client.responses.create({
        model,
        input: 'And of Italy?',
        previous_response_id: made.id,
        max_output_tokens: 3,
      });
      const items: string[] = [];
      for await (const item of client.responses.inputItems.list(next.id, {
        order: 'asc',
        limit: 2,
      }))
        items.push(item.type);
      expect(items).toEqual(['message', 'message', 'message']);
      await client.responses.delete(made.id);
      await expect(client.responses.retrieve(made.id)).rejects.toBeInstanceOf(OpenAI.NotFoundError);
    });

    it('parse', async () => {
      const { output_parsed } = await client.responses.parse({
        model,
        temperature: 0,
        input: ASK_PERSON,
        text: { format: zodTextFormat(Person, 'person') },
      });
      expect(output_parsed).toEqual(TOM);
    });

    it('stream', async () => {
      const stream = client.responses.stream({ model, input: CAPITAL, temperature: 0 });
      let text = '';
      stream.on('response.output_text.delta', ({ delta }) => (text += delta));
      const { output_text } = await stream.finalResponse();
      expect([text, output_text]).toEqual([PARIS, PARIS]);
    });

    it('inputTokens.count', async () => {
      const { input_tokens } = await client.responses.inputTokens.count({ model, input: CAPITAL });
      const made = await client.responses.create({ model, input: CAPITAL, max_output_tokens: 1 });
      expect(input_tokens).toBe(made.usage?.input_tokens);
    });

    it('cancel, compact and a stream of what is there are clear errors', async () => {
      const { id } = await client.responses.create({ model, input: CAPITAL, max_output_tokens: 1 });
      await expect(client.responses.cancel(id)).rejects.toMatchObject({
        status: 400,
        message: expect.stringContaining('only background responses can be cancelled') as string,
      });
      await expect(client.responses.compact({ model })).rejects.toMatchObject({
        status: 404,
      });
      await expect(client.responses.retrieve(id, { stream: true })).rejects.toMatchObject({
        status: 400,
        param: 'stream',
      });
    });
  });

  describe('errors', () => {
    const create = (more: object, from = client): Promise<unknown> =>
      from.chat.completions.create({ model, messages, ...more });

    it.each<[string, object, new (...args: never[]) => Error, object]>([
      [
        '400',
        { temperature: 3 },
        OpenAI.BadRequestError,
        { status: 400, param: 'temperature', type: 'invalid_request_error' },
      ],
      [
        '400, too long',
        { max_tokens: 10_000 },
        OpenAI.BadRequestError,
        { code: 'context_length_exceeded' },
      ],
      [
        '404',
        { model: 'gpt' },
        OpenAI.NotFoundError,
        { status: 404, code: 'model_not_found', param: 'model' },
      ],
    ])('%s', async (_, more, type, fields) => {
      const error: unknown = await create(more).catch((e: unknown) => e);
      expect(error).toBeInstanceOf(type);
      expect(error).toMatchObject(fields);
      expect((error as APIError).requestID).toMatch(/./);
    });

    it('401', async () => {
      const error: unknown = await create({}, client.withOptions({ apiKey: 'wrong' })).catch(
        (e: unknown) => e,
      );
      expect(error).toBeInstanceOf(OpenAI.AuthenticationError);
      expect(error).toMatchObject({ status: 401, code: 'invalid_api_key' });
    });

    it('413', async () => {
      await expect(create({ user: 'x'.repeat(11 * 2 ** 20) })).rejects.toMatchObject({
        status: 413,
      });
    });
  });

  describe('a client that gives up leaves nothing running', () => {
    it('an aborted request', async () => {
      const controller = new AbortController();
      const asked = client.completions.create({ ...long, n: 8 }, { signal: controller.signal });
      const running = (): Promise<number> => metric(url, 'vllm:num_requests_running');
      await eventually(async () => (await running()) > 0, 'it runs');
      controller.abort();
      await expect(asked).rejects.toBeInstanceOf(APIUserAbortError);
      await idle();
    });

    it('an aborted stream ends its loop', async () => {
      const stream = await client.completions.create({ ...long, stream: true });
      let chunks = 0;
      for await (const _ of stream) if (++chunks === 3) stream.controller.abort();
      // What the client had read from its socket by then, it still hands out.
      expect(chunks).toBeLessThan(long.max_tokens);
      await idle();
    });

    it('a loop that is left', async () => {
      let chunks = 0;
      for await (const _ of await client.completions.create({ ...long, stream: true })) {
        chunks += 1;
        break;
      }
      expect(chunks).toBe(1);
      await idle();
    });

    it('a timeout', async () => {
      const asked = client.completions.create({ ...long, n: 8 }, { timeout: 100 });
      await expect(asked).rejects.toBeInstanceOf(APIConnectionTimeoutError);
      await idle();
    });
  });
});

describe('openai, retries', () => {
  afterEach(stopTestServers);

  const body = { model: 'byte-model', messages };

  it('come after the time that a 503 names, and succeed', async () => {
    const engine = new ScriptedEngine(() => ({ steps: [bytesOf('a')], finish: 'length' }));
    const { client, app, inFlight, log } = await startTestServer(engine);
    expect(inFlight.draining).toBe(false);
    let state: string = 'restarting';
    app.server.once('request', (_, response: ServerResponse) => {
      response.once('close', () => (state = 'ready'));
    });
    Object.defineProperty(engine, 'state', { get: () => state });
    const start = performance.now();
    const asked = client.chat.completions.create(body, { maxRetries: 1 });
    const { choices } = await asked;
    expect(choices[0]?.message.content).toBe('a');
    // `retry-after` is a second; by itself the client would have waited for less.
    expect(performance.now() - start).toBeGreaterThan(950);
    await eventually(() => log.filter(({ msg }) => msg === 'request').length === 2, 'two requests');
  });

  it('are not made for what is wrong with the request', async () => {
    const { client, log } = await startTestServer(
      new ScriptedEngine(() => ({ steps: [], finish: null })),
    );
    const asked = client.chat.completions.create({ ...body, temperature: 3 }, { maxRetries: 5 });
    await expect(asked).rejects.toBeInstanceOf(OpenAI.BadRequestError);
    await eventually(() => log.some(({ msg }) => msg === 'request'), 'it is logged');
    expect(log.filter(({ msg }) => msg === 'request')).toHaveLength(1);
  });

  it('a limit that is reached is a RateLimitError, with the time to wait', async () => {
    const engine = new ScriptedEngine(() => ({ steps: [bytesOf('a')], finish: 'length' }));
    const { client } = await startTestServer(engine, { settings: { rateLimitRequests: 1 } });
    await client.chat.completions.create(body);
    const error: unknown = await client.chat.completions.create(body).catch((e: unknown) => e);
    expect(error).toBeInstanceOf(OpenAI.RateLimitError);
    expect(error).toMatchObject({ status: 429, code: 'rate_limit_exceeded' });
    expect(Number((error as APIError).headers?.get('retry-after'))).toBeGreaterThan(0);
  });

  it('an engine that fails is an InternalServerError, also in a stream', async () => {
    const { OctavoError } = await import('../../engine/errors.js');
    const engine = new ScriptedEngine(() => ({
      steps: [bytesOf('a')],
      finish: null,
      error: new OctavoError('engine_failed', 'x'),
    }));
    const { client } = await startTestServer(engine);
    await expect(client.chat.completions.create(body)).rejects.toBeInstanceOf(
      OpenAI.InternalServerError,
    );
    const stream = await client.chat.completions.create({ ...body, stream: true });
    await expect(async () => {
      for await (const _ of stream);
    }).rejects.toMatchObject({ code: 'engine_failed' });
  });
});
