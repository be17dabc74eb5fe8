import type OpenAI from 'openai';
import { afterEach, describe, expect, test } from 'vitest';
import type { TokenId } from '../../../scheduler/ids.js';
import { bytesOf, EOS } from '../../support/byte-model.js';
import { ScriptedEngine, standardScores } from '../../support/scripted-engine.js';
import { startTestServer, stopTestServers } from '../../support/test-server.js';

afterEach(stopTestServers);

const model = 'byte-model';
const messages = [{ role: 'user' as const, content: 'Hi' }];

/** Says a text byte by byte, then ends. */
const saying = (text: string): ScriptedEngine =>
  new ScriptedEngine(() => ({ steps: [...bytesOf(text), EOS].map((id) => [id]), finish: 'stop' }));

type ChatToken = OpenAI.ChatCompletionTokenLogprob;

const textOf = (tokens: readonly ChatToken[]): string =>
  Buffer.from(tokens.flatMap(({ bytes }) => bytes ?? [])).toString();

describe('chat completions', () => {
  test('give each token with its bytes, and the likeliest at its place', async () => {
    const { client } = await startTestServer(saying('aé'));
    const { choices } = await client.chat.completions.create({
      model,
      messages,
      logprobs: true,
      top_logprobs: 2,
    });
    expect(choices[0]?.logprobs).toEqual({
      content: [
        {
          token: 'a',
          logprob: -0.25,
          bytes: [0x61],
          top_logprobs: [
            { token: 'a', logprob: -0.25, bytes: [0x61] },
            { token: 'b', logprob: -1.25, bytes: [0x62] },
          ],
        },
        {
          token: '\uFFFD',
          logprob: -0.25,
          bytes: [0xc3],
          top_logprobs: [
            { token: '\uFFFD', logprob: -0.25, bytes: [0xc3] },
            { token: '\uFFFD', logprob: -1.25, bytes: [0xc4] },
          ],
        },
        {
          token: '\uFFFD',
          logprob: -0.25,
          bytes: [0xa9],
          top_logprobs: [
            { token: '\uFFFD', logprob: -0.25, bytes: [0xa9] },
            { token: '\uFFFD', logprob: -1.25, bytes: [0xaa] },
          ],
        },
      ],
      refusal: null,
    });
  });

  test('without top_logprobs only the token itself, and null without logprobs', async () => {
    const engine = saying('a');
    const { client } = await startTestServer(engine);
    const asked = await client.chat.completions.create({ model, messages, logprobs: true });
    expect(asked.choices[0]?.logprobs?.content).toEqual([
      { token: 'a', logprob: -0.25, bytes: [0x61], top_logprobs: [] },
    ]);
    const plain = await client.chat.completions.create({ model, messages });
    expect(plain.choices[0]?.logprobs).toBeNull();
    expect(engine.submitted.map(({ request }) => request.logprobs)).toEqual([0, null]);
  });

  test('stream with the text that they belong to', async () => {
    const { client } = await startTestServer(saying('a🐙, é'));
    const request = { model, messages, logprobs: true, top_logprobs: 1, stop: ['!'] };
    const whole = await client.chat.completions.create(request);
    const streamed: ChatToken[] = [];
    for await (const { choices } of await client.chat.completions.create({
      ...request,
      stream: true,
    })) {
      const tokens = choices[0]?.logprobs?.content ?? [];
      expect(textOf(tokens)).toBe(choices[0]?.delta.content ?? '');
      streamed.push(...tokens);
    }
    expect(streamed).toEqual(whole.choices[0]?.logprobs?.content);
    expect(streamed).toHaveLength(Buffer.byteLength('a🐙, é'));
  });

  test.each([
    [false, 'one tw'],
    [true, 'one two thr'],
  ])('end where the text does (stop string shown: %s)', async (shown, text) => {
    const { client } = await startTestServer(saying('one two three'));
    const request = {
      model,
      messages,
      logprobs: true,
      stop: 'o thr',
      include_stop_str_in_output: shown,
    };
    const { choices } = await client.chat.completions.create(request);
    expect(choices[0]?.message.content).toBe(text);
    expect(textOf(choices[0]?.logprobs?.content ?? [])).toBe(text);
    const streamed: ChatToken[] = [];
    for await (const chunk of await client.chat.completions.create({ ...request, stream: true })) {
      streamed.push(...(chunk.choices[0]?.logprobs?.content ?? []));
    }
    expect(textOf(streamed)).toBe(text);
  });

  test('hold the stop token when it is shown', async () => {
    const { post } = await startTestServer(saying('a'));
    const response = await post('/v1/chat/completions', {
      messages,
      logprobs: true,
      include_stop_str_in_output: true,
      skip_special_tokens: false,
    });
    const { choices } = (await response.json()) as OpenAI.ChatCompletion;
    expect(choices[0]?.message.content).toBe('a<end>');
    expect(choices[0]?.logprobs?.content?.map(({ token }) => token)).toEqual(['a', '<end>']);
  });

  test('write -9999 for minus infinity', async () => {
    const scores = (id: TokenId, top: number) => ({
      ...standardScores(id, top),
      logprob: Number.NEGATIVE_INFINITY,
      topLogprobs: [-0, Number.NEGATIVE_INFINITY],
    });
    const engine = new ScriptedEngine(() => ({ steps: [[65]], finish: 'length', scores }));
    const { client } = await startTestServer(engine);
    const chat = await client.chat.completions.create({
      model,
      messages,
      logprobs: true,
      top_logprobs: 2,
    });
    expect(chat.choices[0]?.logprobs?.content?.[0]).toMatchObject({
      logprob: -9999,
      top_logprobs: [{ logprob: 0 }, { logprob: -9999 }],
    });
    const { choices } = await client.completions.create({ model, prompt: 'x', logprobs: 2 });
    expect(choices[0]?.logprobs?.token_logprobs).toEqual([-9999]);
    expect(choices[0]?.logprobs?.top_logprobs).toEqual([{ A: -9999, B: -9999 }]);
  });

  test('of the prompt, in the form of vLLM', async () => {
    const { post } = await startTestServer(saying('x'));
    const path = '/v1/chat/completions';
    const response = await post(path, { messages, prompt_logprobs: 1, n: 2 });
    const body = (await response.json()) as { prompt_logprobs: unknown[] };
    const prompt = bytesOf('<user>Hi<assistant>');
    expect(body.prompt_logprobs).toHaveLength(prompt.length);
    expect(body.prompt_logprobs[0]).toBeNull();
    expect(body.prompt_logprobs[1]).toEqual({
      [prompt[1] as number]: { logprob: -0.25, rank: 1, decoded_token: 'u' },
    });
    const stream = await post(path, { messages, prompt_logprobs: 1, stream: true });
    expect(stream.status).toBe(400);
    expect(await stream.json()).toMatchObject({ error: { param: 'prompt_logprobs' } });
  });
});

describe('completions', () => {
  test('are parallel arrays, with offsets in characters', async () => {
    const { client } = await startTestServer(saying('🐙x'));
    const { choices } = await client.completions.create({ model, prompt: 'p', logprobs: 2 });
    expect(choices[0]?.text).toBe('🐙x');
    const part = '\uFFFD';
    expect(choices[0]?.logprobs).toEqual({
      tokens: [part, part, part, part, 'x'],
      token_logprobs: [-0.25, -0.25, -0.25, -0.25, -0.25],
      // Parts of characters read alike: the chosen one counts.
      top_logprobs: [
        { [part]: -0.25 },
        { [part]: -0.25 },
        { [part]: -0.25 },
        { [part]: -0.25 },
        { x: -0.25, y: -1.25 },
      ],
      text_offset: [0, 0, 0, 0, 1],
    });
  });

  test('name the chosen token though it is not among the likeliest', async () => {
    const scores = () => ({ logprob: -7, topIds: [66 as TokenId], topLogprobs: [-0.5] });
    const engine = new ScriptedEngine(() => ({ steps: [[65]], finish: 'length', scores }));
    const { client, post } = await startTestServer(engine);
    const top = await client.completions.create({ model, prompt: 'p', logprobs: 1 });
    expect(top.choices[0]?.logprobs?.top_logprobs).toEqual([{ A: -7, B: -0.5 }]);
    const none = await client.completions.create({ model, prompt: 'p', logprobs: 0 });
    expect(none.choices[0]?.logprobs?.top_logprobs).toEqual([{ A: -7 }]);
    const response = await post('/v1/completions', {
      prompt: [1, 2],
      logprobs: 1,
      prompt_logprobs: 1,
      return_tokens_as_token_ids: true,
    });
    const { choices } = (await response.json()) as { choices: object[] };
    expect(choices[0]).toMatchObject({
      logprobs: {
        tokens: ['token_id:65'],
        top_logprobs: [{ 'token_id:65': -7, 'token_id:66': -0.5 }],
      },
      prompt_logprobs: [
        null,
        {
          2: { logprob: -7, rank: null, decoded_token: '\u0002' },
          66: { logprob: -0.5, rank: 1, decoded_token: 'B' },
        },
      ],
    });
  });

  test('stream, each with its text', async () => {
    const { client } = await startTestServer(saying('é🐙!'));
    const request = { model, prompt: 'p', logprobs: 1, n: 2 };
    const whole = await client.completions.create(request);
    const offsets: number[][] = [[], []];
    const tokens: string[][] = [[], []];
    for await (const { choices } of await client.completions.create({ ...request, stream: true })) {
      for (const { index, logprobs } of choices) {
        offsets[index]?.push(...(logprobs?.text_offset ?? []));
        tokens[index]?.push(...(logprobs?.tokens ?? []));
      }
    }
    expect(offsets).toEqual(whole.choices.map(({ logprobs }) => logprobs?.text_offset));
    expect(tokens).toEqual(whole.choices.map(({ logprobs }) => logprobs?.tokens));
  });
});
