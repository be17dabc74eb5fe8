import OpenAI from 'openai';
import { afterEach, describe, expect, test } from 'vitest';
import { byteModel, bytesOf, EOS } from '../../support/byte-model.js';
import { ScriptedEngine } from '../../support/scripted-engine.js';
import { startTestServer, stopTestServers } from '../../support/test-server.js';

afterEach(stopTestServers);

/** Says a text byte by byte, then ends. */
const saying = (text: string, cachedTokens = 0): ScriptedEngine =>
  new ScriptedEngine(({ maxTokens }) => {
    const ids = bytesOf(text);
    if (ids.length >= maxTokens) {
      return { steps: ids.slice(0, maxTokens).map((id) => [id]), finish: 'length', cachedTokens };
    }
    return { steps: [...ids, EOS].map((id) => [id]), finish: 'stop', cachedTokens };
  });

const messages = [{ role: 'user' as const, content: 'Hi' }];

describe('chat completions', () => {
  test('answers whole, with usage', async () => {
    const { client } = await startTestServer(saying('Grüße 🐙', 4));
    const completion = await client.chat.completions.create({ model: 'byte-model', messages });
    expect(completion).toMatchObject({
      object: 'chat.completion',
      model: 'byte-model',
      choices: [
        {
          index: 0,
          message: { role: 'assistant', content: 'Grüße 🐙', refusal: null },
          logprobs: null,
          finish_reason: 'stop',
        },
      ],
      usage: {
        prompt_tokens: '<user>Hi<assistant>'.length,
        completion_tokens: 13,
        total_tokens: '<user>Hi<assistant>'.length + 13,
        prompt_tokens_details: { cached_tokens: 4 },
        completion_tokens_details: { reasoning_tokens: 0 },
      },
    });
    expect(completion.id).toMatch(/^chatcmpl-/);
  });

  test('streams: role first, one reason at the end, usage in a chunk of its own', async () => {
    const { client } = await startTestServer(saying('Grüße 🐙'));
    const stream = await client.chat.completions.create({
      model: 'byte-model',
      messages,
      stream: true,
      stream_options: { include_usage: true },
    });
    const chunks: OpenAI.ChatCompletionChunk[] = [];
    for await (const chunk of stream) chunks.push(chunk);
    expect(new Set(chunks.map(({ id }) => id)).size).toBe(1);
    expect(new Set(chunks.map(({ created }) => created)).size).toBe(1);
    expect(chunks[0]?.choices[0]?.delta).toEqual({ role: 'assistant', content: '' });
    const text = chunks.map(({ choices }) => choices[0]?.delta.content ?? '').join('');
    expect(text).toBe('Grüße 🐙');
    const reasons = chunks.slice(0, -1).map(({ choices }) => choices[0]?.finish_reason);
    expect(reasons.slice(0, -1).every((reason) => reason === null)).toBe(true);
    expect(reasons.at(-1)).toBe('stop');
    expect(chunks.slice(0, -1).every(({ usage }) => usage === null)).toBe(true);
    expect(chunks.at(-1)).toMatchObject({ choices: [], usage: { completion_tokens: 13 } });
  });

  test('a stop string across tokens ends the engine request', async () => {
    const engine = saying('one two three four');
    const { client } = await startTestServer(engine);
    const completion = await client.chat.completions.create({
      model: 'byte-model',
      messages,
      stop: ['xyz', 'o thr'],
    });
    expect(completion.choices[0]?.message.content).toBe('one tw');
    expect(completion.choices[0]?.finish_reason).toBe('stop');
    expect(completion.usage?.completion_tokens).toBe('one two thr'.length);
    expect(engine.submitted[0]).toMatchObject({ ended: 'left', taken: 'one two thr'.length });
  });

  test('n choices have seeds of their own and are interleaved', async () => {
    const engine = new ScriptedEngine(({ sampling }) => ({
      steps: bytesOf(`seed ${sampling.seed}`).map((id) => [id]),
      finish: 'length',
    }));
    const { client } = await startTestServer(engine);
    const request = { model: 'byte-model', messages, n: 3, seed: Number.MAX_SAFE_INTEGER };
    const whole = await client.chat.completions.create(request);
    const texts = whole.choices.map(({ message }) => message.content);
    expect(texts).toEqual(['seed 9007199254740991', 'seed 0', 'seed 1']);
    expect(whole.usage?.prompt_tokens).toBe(19);
    const streamed = ['', '', ''];
    const order: number[] = [];
    for await (const { choices } of await client.chat.completions.create({
      ...request,
      stream: true,
    })) {
      const [choice] = choices;
      if (!choice) continue;
      streamed[choice.index] += choice.delta.content ?? '';
      order.push(choice.index);
    }
    expect(streamed).toEqual(texts);
    expect(order.indexOf(2)).toBeLessThan(order.lastIndexOf(0));
    expect(order.slice(3, 9)).toEqual([0, 1, 2, 0, 1, 2]);
  });

  test('parameters reach the engine', async () => {
    const engine = saying('x');
    const { post } = await startTestServer(engine);
    const response = await post('/v1/chat/completions', {
      messages: [
        { role: 'developer', content: 'Be brief.' },
        {
          role: 'user',
          content: [
            { type: 'text', text: 'a' },
            { type: 'text', text: 'b' },
          ],
        },
      ],
      temperature: 0,
      top_p: 0.5,
      seed: -1,
      max_tokens: 9,
      max_completion_tokens: 8,
      ignore_eos: true,
      stop_token_ids: [10, 11, 10],
    });
    expect(response.status).toBe(200);
    expect(engine.submitted[0]?.request).toMatchObject({
      promptTokenIds: bytesOf('<system>Be brief.<user>ab<assistant>'),
      maxTokens: 8,
      stopTokenIds: [10, 11],
      // The upper 11 bits of an int64 are mixed into the lower ones.
      sampling: { temperature: 0, topP: 0.5, seed: 2 ** 53 - 1 - 0x7ff },
    });
  });

  test('without max_tokens a chat may use what is left of the context', async () => {
    const engine = saying('x');
    const { client } = await startTestServer(engine);
    await client.chat.completions.create({ model: 'byte-model', messages });
    expect(engine.submitted[0]?.request).toMatchObject({
      maxTokens: 256 - 19,
      stopTokenIds: [EOS],
      sampling: { seed: 7, temperature: 1, topP: 1 },
    });
  });
});

describe('completions', () => {
  test.each([
    ['text', 'abc', [bytesOf('abc')]],
    ['texts', ['abc', 'de'], [bytesOf('abc'), bytesOf('de')]],
    ['ids', [1, 2, 3], [[1, 2, 3]]],
    ['lists of ids', [[1, 2], [3]], [[1, 2], [3]]],
  ])('takes a prompt of %s', async (_, prompt, expected) => {
    const engine = saying('yes');
    const { client } = await startTestServer(engine);
    const completion = await client.completions.create({ model: 'byte-model', prompt });
    expect(engine.submitted.map(({ request }) => request.promptTokenIds)).toEqual(expected);
    expect(engine.submitted[0]?.request.maxTokens).toBe(16);
    expect(completion.choices.map(({ index, text }) => [index, text])).toEqual(
      expected.map((_ids, index) => [index, 'yes']),
    );
    expect(completion.usage?.prompt_tokens).toBe(expected.flat().length);
  });

  test('streams several prompts, with echo', async () => {
    const { client } = await startTestServer(saying('!?'));
    const texts = ['', ''];
    for await (const chunk of await client.completions.create({
      model: 'alias',
      prompt: ['ab', 'cd'],
      echo: true,
      stream: true,
    })) {
      expect(chunk).toMatchObject({ object: 'text_completion', model: 'alias' });
      for (const { index, text } of chunk.choices) texts[index] += text;
    }
    expect(texts).toEqual(['ab!?', 'cd!?']);
  });

  test('keeps the stop string when asked to', async () => {
    const { post } = await startTestServer(saying('one two'));
    const response = await post('/v1/completions', {
      prompt: 'x',
      stop: 'e t',
      include_stop_str_in_output: true,
    });
    const body = (await response.json()) as { choices: unknown[] };
    expect(body.choices).toEqual([
      { index: 0, text: 'one t', logprobs: null, finish_reason: 'stop', stop_reason: 'e t' },
    ]);
  });
});

describe('models and tokens', () => {
  test('lists and shows the model', async () => {
    const { client } = await startTestServer(saying(''));
    const { data } = await client.models.list();
    expect(data.map(({ id }) => id)).toEqual(byteModel.names);
    expect(await client.models.retrieve('alias')).toMatchObject({ max_model_len: 256 });
    await expect(client.models.retrieve('nope')).rejects.toMatchObject({
      status: 404,
      code: 'model_not_found',
    });
  });

  test('tokenizes and back', async () => {
    const { post } = await startTestServer(saying(''));
    const first = await (await post('/tokenize', { prompt: 'ä' })).json();
    expect(first).toEqual({
      count: 2,
      max_model_len: 256,
      tokens: bytesOf('ä'),
      token_strs: null,
    });
    const chat = await (await post('/tokenize', { messages })).json();
    expect(chat).toMatchObject({ count: 19, tokens: bytesOf('<user>Hi<assistant>') });
    expect(await (await post('/detokenize', { tokens: bytesOf('ä') })).json()).toEqual({
      prompt: 'ä',
    });
  });
});

test('errors of the API become errors of the client', async () => {
  const { client } = await startTestServer(saying('x'), { apiKeys: ['right'] });
  const wrong = new OpenAI({ baseURL: client.baseURL, apiKey: 'wrong', maxRetries: 0 });
  await expect(wrong.models.list()).rejects.toBeInstanceOf(OpenAI.AuthenticationError);
  await expect(client.chat.completions.create({ model: 'other', messages })).rejects.toBeInstanceOf(
    OpenAI.NotFoundError,
  );
  await expect(
    client.chat.completions.create({ model: 'byte-model', messages, max_tokens: 4096 }),
  ).rejects.toMatchObject({ status: 400, code: 'context_length_exceeded', param: 'messages' });
});

describe('POST /reset_prefix_cache', () => {
  test('answers 200 when nothing runs, and 409 while blocks are in use', async () => {
    const engine = new ScriptedEngine(() => ({ steps: [[65]], finish: null }));
    const { post, client } = await startTestServer(engine);
    expect((await post('/reset_prefix_cache', {})).status).toBe(200);
    const stream = await client.chat.completions.create({
      model: 'byte-model',
      messages,
      stream: true,
    });
    const refused = await post('/reset_prefix_cache', {});
    expect(refused.status).toBe(409);
    expect(await refused.json()).toMatchObject({ error: { code: 'prefix_cache_in_use' } });
    stream.controller.abort();
  });

  test("knows vLLM's parameters", async () => {
    const engine = saying('x');
    const { post } = await startTestServer(engine);
    const reset = async (query: string): Promise<number> =>
      (await post(`/reset_prefix_cache${query}`, {})).status;
    for (const [query, external] of [
      ['', false],
      ['?reset_external=true', true],
      ['?reset_external=false&reset_running_requests=false', false],
      ['?reset_external=1', true],
    ] as const) {
      expect(await reset(query)).toBe(200);
      expect([query, engine.hasResetTiers]).toEqual([query, external]);
    }
    for (const [query, message] of [
      ['reset_external=perhaps', /reset_external must be one of .*true/],
      ['reset_running_requests=true', /reset_running_requests is not supported/],
    ] as const) {
      const refused = await post(`/reset_prefix_cache?${query}`, {});
      expect(refused.status).toBe(400);
      expect(await refused.json()).toMatchObject({
        error: { message: expect.stringMatching(message) as string, param: query.split('=')[0] },
      });
    }
  });

  test('needs a key when there are keys', async () => {
    const { post } = await startTestServer(saying('x'), { apiKeys: ['secret'] });
    expect((await post('/reset_prefix_cache', {})).status).toBe(401);
  });
});
