import { Ajv } from 'ajv';
import OpenAI from 'openai';
import { beforeAll, describe, expect, it } from 'vitest';
import { startSharedOctavo } from '../support/octavo-process.js';

const model = 'octavo-tiny';
const STORY = { role: 'user' as const, content: 'Tell me a story about an owl.' };
const WEATHER_QUESTION = { role: 'user' as const, content: 'What is the weather in Paris?' };

const functionTool = (name: string) => ({
  type: 'function' as const,
  function: {
    name,
    description: `Call ${name} for a city`,
    parameters: {
      type: 'object',
      properties: { city: { type: 'string', maxLength: 12 } },
      required: ['city'],
      additionalProperties: false,
    },
  },
});
const TOOLS = [functionTool('get_weather'), functionTool('get_time')];

type ChatBody = Omit<OpenAI.ChatCompletionCreateParamsNonStreaming, 'model' | 'stream'> & {
  min_tokens?: number;
};
type CompletionBody = Omit<OpenAI.CompletionCreateParamsNonStreaming, 'model' | 'stream'>;
type Scored = OpenAI.ChatCompletionTokenLogprob;

/** One choice, whichever way it came. */
interface Told {
  content: string;
  calls: { name: string; arguments: string }[];
  scored: Scored[];
  reason: string | null;
}

let client: OpenAI;
beforeAll(async () => {
  const { url, kill } = await startSharedOctavo();
  client = new OpenAI({ baseURL: `${url}/v1`, apiKey: 'none', maxRetries: 0 });
  return kill;
});

const whole = (body: ChatBody): Promise<OpenAI.ChatCompletion> =>
  client.chat.completions.create({ ...body, model, stream: false });

function toldBy({ choices }: OpenAI.ChatCompletion): Told[] {
  return choices.map(({ message, logprobs, finish_reason: reason }, index) => {
    expect(choices[index]?.index).toBe(index);
    const calls = (message.tool_calls ?? []).map((call) => {
      if (call.type !== 'function') throw new Error('not a function');
      return { name: call.function.name, arguments: call.function.arguments };
    });
    return { content: message.content ?? '', calls, scored: logprobs?.content ?? [], reason };
  });
}

/** Puts a stream together, choice by choice. */
async function streamed(
  body: ChatBody,
  streamOptions: object = { include_usage: true },
): Promise<{ told: Told[]; chunks: OpenAI.ChatCompletionChunk[] }> {
  const stream = await client.chat.completions.create({
    ...body,
    model,
    stream: true,
    stream_options: streamOptions,
  });
  const told = Array.from(
    { length: body.n ?? 1 },
    (): Told => ({ content: '', calls: [], scored: [], reason: null }),
  );
  const chunks: OpenAI.ChatCompletionChunk[] = [];
  for await (const chunk of stream) {
    chunks.push(chunk);
    for (const { index, delta, logprobs, finish_reason: reason } of chunk.choices) {
      const choice = told[index];
      if (!choice) throw new Error(`choice ${index} was not asked for`);
      expect(choice.reason).toBeNull();
      choice.content += delta.content ?? '';
      choice.scored.push(...(logprobs?.content ?? []));
      choice.reason = reason;
      for (const { index: at, id, function: piece } of delta.tool_calls ?? []) {
        if (id !== undefined) {
          expect(at).toBe(choice.calls.length);
          choice.calls.push({ name: piece?.name ?? '', arguments: '' });
        }
        const call = choice.calls[at];
        if (!call) throw new Error('arguments before their call');
        call.arguments += piece?.arguments ?? '';
      }
    }
  }
  return { told, chunks };
}

const bytesOf = (scored: readonly Scored[]): Buffer =>
  Buffer.from(scored.flatMap(({ bytes }) => bytes ?? []));

describe('streamed and whole are the same', () => {
  it.each<[string, ChatBody]>([
    [
      'n with tools',
      { messages: [WEATHER_QUESTION], tools: TOOLS, n: 4, temperature: 1.4, seed: 1 },
    ],
    [
      'n with forced calls',
      {
        messages: [STORY],
        tools: TOOLS,
        tool_choice: 'required',
        n: 3,
        temperature: 1.2,
        seed: 2,
        max_tokens: 60,
      },
    ],
    [
      'n with log-probabilities',
      { messages: [STORY], n: 3, seed: 3, max_tokens: 12, logprobs: true, top_logprobs: 2 },
    ],
    [
      'n with stop',
      { messages: [STORY], n: 3, seed: 4, max_tokens: 60, stop: ['the', '.'], logprobs: true },
    ],
    ['one token', { messages: [STORY], n: 2, seed: 5, max_tokens: 1, logprobs: true }],
    [
      'a form and tools',
      {
        messages: [WEATHER_QUESTION],
        tools: TOOLS,
        n: 3,
        seed: 6,
        temperature: 1,
        response_format: { type: 'json_object' },
        max_tokens: 40,
      },
    ],
  ])('%s', async (_, body) => {
    const answer = await whole(body);
    const { told, chunks } = await streamed(body);
    expect(told).toEqual(toldBy(answer));
    // Prompt tokens of the second request come from the cache.
    expect(chunks.at(-1)).toMatchObject({
      choices: [],
      usage: { ...answer.usage, prompt_tokens_details: expect.anything() as object },
    });
    expect(chunks.slice(0, -1).every(({ usage }) => usage === null)).toBe(true);
    for (const { reason } of told) expect(['stop', 'length', 'tool_calls']).toContain(reason);
  });

  it('continuous usage counts all choices, up to the last', async () => {
    const body = { messages: [STORY], n: 3, seed: 7, max_tokens: 9 };
    const { chunks } = await streamed(body, { include_usage: true, continuous_usage_stats: true });
    const counts = chunks.map(({ usage }) => usage?.completion_tokens ?? -1);
    expect(counts[0]).toBe(0);
    expect(counts).toEqual(counts.toSorted((a, b) => a - b));
    expect(counts.at(-1)).toBe((await whole(body)).usage?.completion_tokens);
  });

  it('batches of prompts with n: choices are numbered through the prompts', async () => {
    const body: CompletionBody = {
      prompt: ['The owl', 'One day a', 'Once'],
      n: 2,
      seed: 8,
      max_tokens: 10,
      logprobs: 1,
      echo: true,
    };
    const answer = await client.completions.create({ ...body, model, stream: false });
    const stream = await client.completions.create({ ...body, model, stream: true });
    const texts = Array.from({ length: 6 }, () => '');
    const tokens = Array.from({ length: 6 }, (): string[] => []);
    for await (const { choices } of stream) {
      for (const { index, text, logprobs } of choices) {
        texts[index] += text;
        tokens[index]?.push(...(logprobs?.tokens ?? []));
      }
    }
    expect(texts).toEqual(answer.choices.map(({ text }) => text));
    expect(tokens).toEqual(answer.choices.map(({ logprobs }) => logprobs?.tokens));
    expect(texts.map((text) => text.slice(0, 4))).toEqual([
      'The ',
      'The ',
      'One ',
      'One ',
      'Once',
      'Once',
    ]);
    expect(answer.choices.map(({ index }) => index)).toEqual([0, 1, 2, 3, 4, 5]);
  });
});

describe('log-probabilities', () => {
  it.each([['.'], ['ow'], ['wl'], ['l n'], [' owl named'], ['very'], ['?!']])(
    'are those of the text when %j stops it',
    async (stop) => {
      const told = toldBy(
        await whole({ messages: [STORY], temperature: 0, stop, max_tokens: 30, logprobs: true }),
      );
      const [{ content, scored, reason }] = told;
      expect([reason, content.includes(stop)]).toEqual([
        content.length > 100 ? 'length' : 'stop',
        false,
      ]);
      // A last token may reach into the stop string, but begins before it.
      const text = Buffer.from(content);
      expect(bytesOf(scored).subarray(0, text.length).equals(text)).toBe(true);
      expect(bytesOf(scored.slice(0, -1)).length).toBeLessThan(text.length || 1);
    },
  );

  it('hold the stop string that is shown', async () => {
    const body = {
      messages: [STORY],
      temperature: 0,
      stop: [' owl'],
      max_tokens: 30,
      logprobs: true,
      include_stop_str_in_output: true,
    };
    const [{ content, scored }] = toldBy(await whole(body));
    expect(content).toMatch(/ owl$/);
    expect(bytesOf(scored).toString()).toBe(content);
  });

  it('of a prompt alone: echo with max_tokens 0', async () => {
    const prompt = 'Once upon a time, a happy owl';
    const { choices, usage } = await client.completions.create({
      model,
      prompt,
      echo: true,
      logprobs: 2,
      max_tokens: 0,
    });
    const [{ text, logprobs, finish_reason: reason }] = choices;
    expect([text, reason]).toEqual([prompt, 'length']);
    expect(usage?.completion_tokens).toBe(0);
    const shown = logprobs?.tokens ?? [];
    expect(shown.join('')).toContain(prompt);
    expect(shown.length).toBe(usage?.prompt_tokens);
    expect(logprobs?.token_logprobs?.[0]).toBeNull();
    expect(logprobs?.token_logprobs?.slice(1).every((value) => value < 0)).toBe(true);
    expect(logprobs?.top_logprobs?.slice(1).every((top) => Object.keys(top).length >= 2)).toBe(
      true,
    );
    // What it would go on with does not change how the prompt is scored.
    const longer = await client.completions.create({
      model,
      prompt,
      echo: true,
      logprobs: 2,
      max_tokens: 3,
    });
    const scores = longer.choices[0]?.logprobs?.token_logprobs?.slice(0, shown.length) ?? [];
    for (const [i, score] of scores.entries()) {
      if (i > 0) expect(score).toBeCloseTo(logprobs?.token_logprobs?.[i] ?? 0, 4);
    }
  });

  it('choose the best of several', async () => {
    const body = {
      model,
      prompt: 'The owl said',
      seed: 9,
      max_tokens: 8,
      logprobs: 0,
      temperature: 1.3,
    };
    const mean = ({ logprobs }: OpenAI.CompletionChoice): number => {
      const scores = logprobs?.token_logprobs ?? [];
      return scores.reduce((sum, score) => sum + score, 0) / scores.length;
    };
    const all = await client.completions.create({ ...body, n: 6 });
    const best = await client.completions.create({ ...body, n: 2, best_of: 6 });
    const expected = all.choices.toSorted((a, b) => mean(b) - mean(a)).slice(0, 2);
    expect(best.choices.map(({ text }) => text)).toEqual(expected.map(({ text }) => text));
    expect(best.choices.map(({ logprobs }) => logprobs?.tokens)).toEqual(
      expected.map(({ logprobs }) => logprobs?.tokens),
    );
    expect(best.usage?.completion_tokens).toBe(all.usage?.completion_tokens);
  });
});

describe('a form of the answer beside tools', () => {
  const schema = {
    type: 'object',
    properties: { sky: { enum: ['grey', 'blue'] } },
    required: ['sky'],
    additionalProperties: false,
  };
  const validate = new Ajv().compile(schema);
  const named = (name: string) => ({ type: 'function' as const, function: { name } });
  const request = {
    messages: [WEATHER_QUESTION],
    tools: TOOLS,
    temperature: 0.8,
    max_tokens: 80,
    n: 3,
    seed: 10,
    response_format: { type: 'json_schema' as const, json_schema: { name: 'sky', schema } },
  };
  it.each<
    [
      string,
      OpenAI.ChatCompletionToolChoiceOption | undefined,
      ('answer' | 'get_weather' | 'get_time')[],
    ]
  >([
    ['absent', undefined, ['answer', 'get_weather', 'get_time']],
    ['auto', 'auto', ['answer', 'get_weather', 'get_time']],
    ['none', 'none', ['answer']],
    ['required', 'required', ['get_weather', 'get_time']],
    ['a function', named('get_time'), ['get_time']],
    [
      'allowed_tools, auto',
      { type: 'allowed_tools', allowed_tools: { mode: 'auto', tools: [named('get_time')] } },
      ['answer', 'get_time'],
    ],
    [
      'allowed_tools, required',
      { type: 'allowed_tools', allowed_tools: { mode: 'required', tools: [named('get_weather')] } },
      ['get_weather'],
    ],
  ])('tool_choice %s', async (_, tool_choice, allowed) => {
    const answer = await whole({
      ...request,
      ...(tool_choice === undefined ? {} : { tool_choice }),
    });
    for (const { content, calls, reason } of toldBy(answer)) {
      if (reason === 'length') continue;
      if (calls.length === 0) {
        expect(allowed).toContain('answer');
        expect([content, validate(JSON.parse(content))]).toEqual([content, true]);
        expect(reason).toBe('stop');
        continue;
      }
      expect(content).toBe('');
      for (const call of calls) {
        expect(allowed).toContain(call.name);
        const given = JSON.parse(call.arguments) as object;
        if (tool_choice !== undefined && !allowed.includes('answer'))
          expect(Object.keys(given)).toEqual(['city']);
      }
      expect(reason).toBe(
        typeof tool_choice === 'object' && tool_choice.type === 'function' ? 'stop' : 'tool_calls',
      );
    }
  });
});

describe('lengths and seeds', () => {
  it('max_tokens 1 is one token, whatever the form', async () => {
    for (const more of [
      {},
      { response_format: { type: 'json_object' as const } },
      { tools: TOOLS, tool_choice: 'required' as const },
    ]) {
      const answer = await whole({ messages: [STORY], temperature: 0, max_tokens: 1, ...more });
      expect(answer.choices[0]?.finish_reason).toBe('length');
      expect(answer.usage?.completion_tokens).toBe(1);
    }
  });

  it('min_tokens keeps a stop string in the text until then', async () => {
    const body = { messages: [STORY], temperature: 0, max_tokens: 60, stop: ['a'], logprobs: true };
    const [short] = toldBy(await whole(body));
    const [long] = toldBy(await whole({ ...body, min_tokens: 20 }));
    expect([short.content, short.reason]).toEqual(['Once upon ', 'stop']);
    expect(long.content.startsWith('Once upon a time, a young owl')).toBe(true);
    expect([long.content.endsWith('a'), long.reason]).toEqual([false, 'stop']);
    expect(long.scored.length).toBeGreaterThanOrEqual(19);
    expect(bytesOf(long.scored).toString().startsWith(long.content)).toBe(true);
  });

  it('min_tokens holds the end of the text back, too', async () => {
    const body = {
      messages: [{ role: 'user' as const, content: 'What is the capital of France?' }],
      temperature: 0,
    };
    const free = await whole(body);
    const held = await whole({ ...body, min_tokens: 30, max_tokens: 60 });
    expect(free.usage?.completion_tokens).toBeLessThan(30);
    expect(held.usage?.completion_tokens).toBeGreaterThanOrEqual(30);
  });

  it('choice i of n is what seed + i gives alone', async () => {
    const body = { messages: [STORY], temperature: 1, max_tokens: 20 };
    const together = toldBy(await whole({ ...body, n: 3, seed: 2 ** 53 - 2 }));
    for (const [i, seed] of [2 ** 53 - 2, 2 ** 53 - 1, 0].entries()) {
      expect(toldBy(await whole({ ...body, seed }))[0].content).toBe(together[i]?.content);
    }
    expect(new Set(together.map(({ content }) => content)).size).toBe(3);
  });
});
