import Anthropic from '@anthropic-ai/sdk';
import { betaZodTool } from '@anthropic-ai/sdk/helpers/beta/zod';
import { zodOutputFormat } from '@anthropic-ai/sdk/helpers/zod';
import { beforeAll, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { eventually } from '../support/eventually.js';
import { metric, startSharedOctavo } from '../support/octavo-process.js';

const model = 'octavo-tiny';
const CAPITAL = 'What is the capital of France?';
const PARIS = 'The capital of France is Paris.';
const messages: Anthropic.MessageParam[] = [{ role: 'user', content: CAPITAL }];
const ask = { model, max_tokens: 100, temperature: 0, messages };

const ASK_WEATHER = 'What is the weather in Paris?';
const WEATHER = 'It is 21 degrees and sunny in Paris.';

describe('@anthropic-ai/sdk', () => {
  let url: string;
  let client: Anthropic;
  beforeAll(async () => {
    const server = await startSharedOctavo(['--api-key', 'right']);
    url = server.url;
    client = new Anthropic({ baseURL: url, apiKey: 'right', maxRetries: 0 });
    return server.kill;
  });
  const idle = (): Promise<void> =>
    eventually(async () => (await metric(url, 'vllm:num_requests_running')) === 0, 'the end');

  it('messages.create, with the response behind it', async () => {
    const { data, request_id, response } = await client.messages.create(ask).withResponse();
    expect(data.content).toEqual([{ type: 'text', text: PARIS, citations: null }]);
    expect([data.stop_reason, data.role, data.model]).toEqual(['end_turn', 'assistant', model]);
    expect(data).toMatchObject({ _request_id: request_id });
    expect(response.headers.get('x-request-id')).toBe(request_id);
  });

  it('messages.stream, with the events of the helper', async () => {
    const stream = client.messages.stream(ask);
    let text = '';
    const blocks: string[] = [];
    stream.on('text', (delta) => (text += delta));
    stream.on('contentBlock', ({ type }) => blocks.push(type));
    expect(await stream.finalText()).toBe(PARIS);
    expect([text, blocks]).toEqual([PARIS, ['text']]);
    const { usage, stop_reason } = await stream.finalMessage();
    const whole = await client.messages.create(ask);
    expect([usage.output_tokens, stop_reason]).toEqual([whole.usage.output_tokens, 'end_turn']);
  });

  it('messages.create with stream: true', async () => {
    let text = '';
    for await (const event of await client.messages.create({ ...ask, stream: true })) {
      if (event.type === 'content_block_delta' && event.delta.type === 'text_delta') {
        text += event.delta.text;
      }
    }
    expect(text).toBe(PARIS);
  });

  it('messages.parse', async () => {
    const Person = z.object({ name: z.string(), age: z.number() });
    const { parsed_output } = await client.messages.parse({
      ...ask,
      messages: [{ role: 'user', content: 'Give me a JSON object with name Tom and age 7.' }],
      output_config: { format: zodOutputFormat(Person) },
    });
    expect(parsed_output).toEqual({ name: 'Tom', age: 7 });
  });

  it('goes on with the beginning of an answer', async () => {
    const begun = 'The capital of France';
    const { content } = await client.messages.create({
      ...ask,
      messages: [...messages, { role: 'assistant', content: begun }],
    });
    expect(content).toMatchObject([{ text: PARIS.slice(begun.length) }]);
  });

  it.each([false, true])('the loop of beta.messages.toolRunner, stream: %j', async (stream) => {
    const asked: unknown[] = [];
    const weather = betaZodTool({
      name: 'get_weather',
      description: 'Get the weather in a city',
      inputSchema: z.object({ city: z.string() }),
      run: (input) => {
        asked.push(input);
        return JSON.stringify({ temperature: 21, sky: 'sunny' });
      },
    });
    const final = await client.beta.messages.toolRunner({
      ...ask,
      messages: [{ role: 'user', content: ASK_WEATHER }],
      tools: [weather],
      stream,
    });
    expect(asked).toEqual([{ city: 'Paris' }]);
    expect(final.content).toMatchObject([{ type: 'text', text: WEATHER }]);
    // The conversation before it.
    expect(final.usage.cache_read_input_tokens).toBeGreaterThan(0);
  });

  it('messages.countTokens', async () => {
    const { input_tokens } = await client.messages.countTokens({ model, messages });
    const { usage } = await client.messages.create({
      ...ask,
      messages: [...messages],
      max_tokens: 1,
    });
    expect(input_tokens).toBe(usage.input_tokens + (usage.cache_read_input_tokens ?? 0));
  });

  it('models.list and models.retrieve', async () => {
    const ids: string[] = [];
    for await (const { id } of client.models.list()) ids.push(id);
    expect(ids).toEqual([model]);
    expect(await client.models.retrieve(model)).toMatchObject({ id: model, type: 'model' });
  });

  it.each<[string, object, new (...args: never[]) => Error, object]>([
    ['400', { temperature: 3 }, Anthropic.BadRequestError, { type: 'invalid_request_error' }],
    [
      '400, too long',
      { system: 'word '.repeat(5000) },
      Anthropic.BadRequestError,
      { apiMessage: expect.stringContaining('prompt is too long') as string },
    ],
    ['404', { model: 'claude' }, Anthropic.NotFoundError, { type: 'not_found_error' }],
  ])('a %s', async (_, more, type, fields) => {
    const error: unknown = await client.messages
      .create({ ...ask, ...more })
      .catch((e: unknown) => e);
    expect(error).toBeInstanceOf(type);
    expect(error).toMatchObject({ ...fields, requestID: expect.stringMatching(/./) as string });
  });

  it('a 401', async () => {
    const wrong = new Anthropic({ baseURL: url, authToken: 'wrong', maxRetries: 0 });
    await expect(wrong.messages.create(ask)).rejects.toBeInstanceOf(Anthropic.AuthenticationError);
  });

  it('a stream that is left leaves nothing running', async () => {
    const stream = client.messages.stream({
      ...ask,
      max_tokens: 2000,
      temperature: 1,
      messages: [{ role: 'user', content: 'Tell me a story about an owl.' }],
    });
    stream.on('text', () => stream.abort());
    await expect(stream.finalMessage()).rejects.toBeInstanceOf(Anthropic.APIUserAbortError);
    await idle();
  });
});
