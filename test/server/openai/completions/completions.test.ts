import type OpenAI from 'openai';
import { afterEach, describe, expect, test } from 'vitest';
import type { TokenId } from '../../../../scheduler/ids.js';
import { bytesOf, EOS } from '../../../support/byte-model.js';
import { ScriptedEngine } from '../../../support/scripted-engine.js';
import { startTestServer, stopTestServers } from '../../../support/test-server.js';

afterEach(stopTestServers);

const model = 'byte-model';

/** Says a text byte by byte, then ends. */
const saying = (text: string): ScriptedEngine =>
  new ScriptedEngine(() => ({ steps: [...bytesOf(text), EOS].map((id) => [id]), finish: 'stop' }));

describe('echo', () => {
  test('puts the prompt first, a text as it was sent and ids decoded', async () => {
    const { client } = await startTestServer(saying('!'));
    const text = await client.completions.create({ model, prompt: ['a', 'b'], echo: true, n: 2 });
    expect(text.choices.map((choice) => choice.text)).toEqual(['a!', 'a!', 'b!', 'b!']);
    const ids = await client.completions.create({ model, prompt: bytesOf('é'), echo: true });
    expect(ids.choices[0]?.text).toBe('é!');
  });

  test('with logprobs scores the prompt, all but its first token', async () => {
    const engine = saying('é!');
    const { client } = await startTestServer(engine);
    const { choices } = await client.completions.create({
      model,
      prompt: '🐙ab',
      echo: true,
      logprobs: 1,
    });
    expect(engine.submitted[0]?.request).toMatchObject({ logprobs: 1, promptLogprobs: 1 });
    const part = '\uFFFD';
    expect(choices[0]).toMatchObject({
      text: '🐙abé!',
      logprobs: {
        tokens: [part, part, part, part, 'a', 'b', part, part, '!'],
        text_offset: [0, 0, 0, 0, 1, 2, 3, 3, 4],
      },
    });
    const { token_logprobs: scores, top_logprobs: top } = choices[0]?.logprobs ?? {};
    expect(scores).toEqual([null, ...Array.from({ length: 8 }, () => -0.25)]);
    expect(top?.slice(0, 6)).toEqual([
      null,
      ...[part, part, part, 'a', 'b'].map((token) => ({ [token]: -0.25 })),
    ]);
  });

  test('with logprobs and a stream: each choice begins with the scored prompt', async () => {
    const { client } = await startTestServer(saying('!?'));
    const texts = ['', '', '', ''];
    const tokens: string[][] = [[], [], [], []];
    const scores: unknown[][] = [[], [], [], []];
    for await (const { choices } of await client.completions.create({
      model,
      prompt: ['ab', 'c'],
      n: 2,
      echo: true,
      logprobs: 0,
      stream: true,
    })) {
      for (const { index, text, logprobs } of choices) {
        texts[index] += text;
        tokens[index]?.push(...(logprobs?.tokens ?? []));
        scores[index]?.push(...(logprobs?.token_logprobs ?? []));
        expect(logprobs?.tokens?.join('') ?? '').toBe(text);
      }
    }
    expect(texts).toEqual(['ab!?', 'ab!?', 'c!?', 'c!?']);
    expect(tokens.map((list) => list.join(''))).toEqual(texts);
    const [two, one] = [
      [null, -0.25, -0.25, -0.25],
      [null, -0.25, -0.25],
    ];
    expect(scores).toEqual([two, two, one, one]);
  });

  test('with max_tokens 0 gives the prompt only', async () => {
    const engine = new ScriptedEngine(() => ({
      steps: [[]],
      finish: 'length',
      times: { queued: 1, prefill: 1 },
    }));
    const { client, url } = await startTestServer(engine);
    const request = { model, prompt: ['abc', 'd'], echo: true, logprobs: 1, max_tokens: 0 };
    const { choices, usage } = await client.completions.create(request);
    expect(choices).toMatchObject([
      {
        index: 0,
        text: 'abc',
        finish_reason: 'length',
        logprobs: {
          tokens: ['a', 'b', 'c'],
          token_logprobs: [null, -0.25, -0.25],
          top_logprobs: [null, { b: -0.25 }, { c: -0.25 }],
          text_offset: [0, 1, 2],
        },
      },
      { index: 1, text: 'd', finish_reason: 'length', logprobs: { token_logprobs: [null] } },
    ]);
    expect(usage).toMatchObject({ prompt_tokens: 4, completion_tokens: 0, total_tokens: 4 });
    expect(engine.submitted[0]?.request.maxTokens).toBe(0);
    let streamed = '';
    for await (const chunk of await client.completions.create({ ...request, stream: true })) {
      streamed += chunk.choices[0]?.text ?? '';
    }
    expect(streamed).toBe('abcd');
    expect(await (await fetch(`${url}/metrics`)).text()).toMatch(/:prompt_tokens_total\{.*\} 8/);
  });

  test('a failing first choice does not leave the others waiting', async () => {
    const engine = new ScriptedEngine(({ sampling }) =>
      sampling.seed === 7
        ? { steps: [], finish: null, error: new Error('gone') as never }
        : { steps: [[65]], finish: 'length' },
    );
    const { post, url } = await startTestServer(engine);
    const response = await post('/v1/completions', { prompt: 'a', n: 3, echo: true, logprobs: 1 });
    expect(response.status).toBe(500);
    expect(engine.alive).toEqual([]);
    const counts = async (): Promise<object> => {
      const metrics = await (await fetch(`${url}/metrics`)).text();
      const ends = metrics.matchAll(/request_success_total\{finished_reason="(\w+)".*\} (\d)/g);
      return Object.fromEntries([...ends].map(([, reason, count]) => [reason, count]));
    };
    const expected = { stop: '0', length: '0', repetition: '0', abort: '2', error: '1' };
    await expect.poll(counts).toEqual(expected);
  });
});

describe('best_of', () => {
  /** The seed's last digit is said, and its likelihood falls with the distance to 3. */
  const digits = (): ScriptedEngine =>
    new ScriptedEngine(({ sampling }) => ({
      steps: [[0x30 + (sampling.seed % 10)], [0x2e]],
      finish: 'length',
      scores: (id: TokenId) => ({
        logprob: id === 0x2e ? -0.1 : -Math.abs(id - 0x33),
        topIds: [],
        topLogprobs: [],
      }),
    }));

  test('keeps the choices with the highest log-probability per token', async () => {
    const engine = digits();
    const { client } = await startTestServer(engine);
    const { choices, usage } = await client.completions.create({
      model,
      prompt: ['a', 'b'],
      seed: 0,
      n: 2,
      best_of: 5,
    });
    expect(choices.map(({ index, text, logprobs }) => [index, text, logprobs])).toEqual([
      [0, '3.', null],
      [1, '2.', null],
      [2, '3.', null],
      [3, '2.', null],
    ]);
    expect(usage).toMatchObject({ prompt_tokens: 2, completion_tokens: 20 });
    expect(engine.submitted).toHaveLength(10);
    expect(engine.submitted[0]?.request.logprobs).toBe(0);
  });

  test('per token, not in sum', async () => {
    const engine = new ScriptedEngine(({ sampling }) => ({
      steps: [bytesOf(sampling.seed === 0 ? 'ab' : 'c')],
      finish: 'length',
      scores: (id: TokenId) => ({
        logprob: id === 0x63 ? -1.5 : -1,
        topIds: [],
        topLogprobs: [],
      }),
    }));
    const { client } = await startTestServer(engine);
    const { choices } = await client.completions.create({
      model,
      prompt: 'a',
      seed: 0,
      best_of: 2,
    });
    expect(choices.map(({ text }) => text)).toEqual(['ab']);
  });

  test.each([
    [{ n: 3, best_of: 2 }, /at least n, which is 3/],
    [{ best_of: 2, stream: true }, /not possible with stream/],
    [{ best_of: 0 }, />= 1/],
  ])('%j is refused', async (fields, message) => {
    const { post } = await startTestServer(digits());
    const response = await post('/v1/completions', { prompt: 'a', ...fields });
    expect(response.status).toBe(400);
    const { error } = (await response.json()) as { error: OpenAI.ErrorObject };
    expect(error).toMatchObject({
      param: 'best_of',
      message: expect.stringMatching(message) as string,
    });
  });

  test('without it, choices keep the order of their seeds, with log-probabilities too', async () => {
    const { client } = await startTestServer(digits());
    const { choices } = await client.completions.create({
      model,
      prompt: 'a',
      seed: 1,
      n: 4,
      logprobs: 0,
    });
    expect(choices.map(({ text }) => text)).toEqual(['1.', '2.', '3.', '4.']);
  });

  test('as many as n is no choice, and may stream', async () => {
    const { post } = await startTestServer(digits());
    const response = await post('/v1/completions', {
      prompt: 'a',
      n: 2,
      best_of: 2,
      stream: true,
    });
    expect(response.status).toBe(200);
    expect(await response.text()).toMatch(/\[DONE\]\n\n$/);
  });
});
