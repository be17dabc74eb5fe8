import OpenAI from 'openai';
import { beforeAll, describe, expect, it } from 'vitest';
import { startSharedOctavo } from '../support/octavo-process.js';

const model = 'octavo-tiny';

const tool = (
  name: string,
  description: string,
  parameters: Record<string, 'string' | 'number'>,
) => ({
  type: 'function' as const,
  function: {
    name,
    description,
    parameters: {
      type: 'object',
      properties: Object.fromEntries(
        Object.entries(parameters).map(([key, type]) => [key, { type }]),
      ),
      required: Object.keys(parameters),
      additionalProperties: false,
    },
  },
});

const WEATHER = tool('get_weather', 'Get the weather in a city', { city: 'string' });
const TIME = tool('get_time', 'Get the time in a city', { city: 'string' });
const ADD = tool('add', 'Add two numbers', { a: 'number', b: 'number' });

const QUESTION = { role: 'user' as const, content: 'What is the weather in Paris?' };
const RESULT = JSON.stringify({ temperature: 21, sky: 'sunny' });
const ANSWER = 'It is 21 degrees and sunny in Paris.';

describe('octavo-tiny calls tools, with the official client', () => {
  let client: OpenAI;
  beforeAll(async () => {
    const { url, kill } = await startSharedOctavo();
    client = new OpenAI({ baseURL: `${url}/v1`, apiKey: 'none', maxRetries: 0 });
    return kill;
  });

  it('gets the call, answers it, gets the final text', async () => {
    const request = { model, tools: [WEATHER, TIME], temperature: 0 };
    const asked = await client.chat.completions.create({ ...request, messages: [QUESTION] });
    const [choice] = asked.choices;
    expect(choice).toMatchObject({
      message: {
        content: null,
        tool_calls: [
          { type: 'function', function: { name: 'get_weather', arguments: '{"city": "Paris"}' } },
        ],
      },
      finish_reason: 'tool_calls',
    });
    const call = choice?.message.tool_calls?.[0];
    const answered = await client.chat.completions.create({
      ...request,
      messages: [
        QUESTION,
        ...(choice ? [choice.message] : []),
        { role: 'tool', tool_call_id: call?.id ?? '', content: RESULT },
      ],
    });
    expect(answered.choices[0]?.message.content).toBe(ANSWER);
    expect(answered.choices[0]?.finish_reason).toBe('stop');
    // The turn that comes back is the one that was written: its blocks are found again.
    expect(answered.usage?.prompt_tokens_details?.cached_tokens).toBeGreaterThanOrEqual(64);
  });

  it('the same, streamed', async () => {
    const stream = await client.chat.completions.create({
      model,
      tools: [TIME, ADD],
      temperature: 0,
      messages: [{ role: 'user', content: 'What is 412 + 391?' }],
      stream: true,
    });
    const names: string[] = [];
    const pieces: string[] = [];
    let content = '';
    let reason: string | null = null;
    for await (const { choices } of stream) {
      const [choice] = choices;
      content += choice?.delta.content ?? '';
      for (const { index, id, function: called } of choice?.delta.tool_calls ?? []) {
        expect(index).toBe(0);
        if (called?.name !== undefined) {
          expect(id).toMatch(/^call_/);
          names.push(called.name);
        } else pieces.push(called?.arguments ?? '');
      }
      reason = choice?.finish_reason ?? reason;
    }
    expect([content, names, reason]).toEqual(['', ['add'], 'tool_calls']);
    expect(pieces.length).toBeGreaterThan(3);
    expect(JSON.parse(pieces.join(''))).toEqual({ a: 412, b: 391 });
  });

  it("the client's runTools runs the function and gets the final text", async () => {
    const called: unknown[] = [];
    const runner = client.chat.completions.runTools({
      model,
      temperature: 0,
      messages: [QUESTION],
      tools: [
        {
          type: 'function',
          function: {
            ...WEATHER.function,
            parse: (text: string): unknown => JSON.parse(text),
            function: (input: unknown) => {
              called.push(input);
              return RESULT;
            },
          },
        },
      ],
    });
    expect(await runner.finalContent()).toBe(ANSWER);
    expect(called).toEqual([{ city: 'Paris' }]);
  });

  it('must call when a call is required, also where it would not', async () => {
    const request = { model, tools: [WEATHER, ADD], temperature: 0 };
    const hello = { role: 'user' as const, content: 'Hello!' };
    const free = await client.chat.completions.create({ ...request, messages: [hello] });
    expect(free.choices[0]?.message.tool_calls).toBeUndefined();
    const { choices } = await client.chat.completions.create({
      ...request,
      messages: [hello],
      tool_choice: 'required',
      parallel_tool_calls: false,
    });
    expect(choices[0]?.finish_reason).toBe('tool_calls');
    expect(choices[0]?.message.content).toBeNull();
    const [call] = choices[0]?.message.tool_calls ?? [];
    if (call?.type !== 'function') throw new Error('no call');
    const keys = call.function.name === 'add' ? ['a', 'b'] : ['city'];
    expect(Object.keys(JSON.parse(call.function.arguments) as object)).toEqual(keys);
  });

  it('calls the function that is named, streamed', async () => {
    const stream = client.chat.completions.stream({
      model,
      tools: [WEATHER, TIME, ADD],
      temperature: 0,
      messages: [QUESTION],
      tool_choice: { type: 'function', function: { name: 'get_time' } },
    });
    const { choices } = await stream.finalChatCompletion();
    expect(choices[0]?.finish_reason).toBe('stop');
    expect(choices[0]?.message.tool_calls).toMatchObject([
      { type: 'function', function: { name: 'get_time' } },
    ]);
    const [call] = choices[0]?.message.tool_calls ?? [];
    if (call?.type !== 'function') throw new Error('no call');
    expect(JSON.parse(call.function.arguments)).toEqual({
      city: expect.any(String) as string,
    });
  });

  it('keeps to the schema of a strict tool that it chooses to call', async () => {
    const parameters = {
      type: 'object',
      properties: { city: { type: 'string', enum: ['Rome', 'Oslo'] } },
      required: ['city'],
      additionalProperties: false,
    };
    const request = { model, temperature: 0, messages: [QUESTION] };
    const strictly = { ...WEATHER.function, parameters, strict: true };
    const { choices } = await client.chat.completions.create({
      ...request,
      tools: [{ type: 'function', function: strictly }],
    });
    const [call] = choices[0]?.message.tool_calls ?? [];
    if (call?.type !== 'function') throw new Error('no call');
    expect(['Rome', 'Oslo']).toContain(
      (JSON.parse(call.function.arguments) as { city: string }).city,
    );
  });

  it('answers freely beside a strict tool, and ends where it likes', async () => {
    const strictly = { ...WEATHER.function, strict: true };
    const { choices } = await client.chat.completions.create({
      model,
      temperature: 0,
      messages: [{ role: 'user', content: 'What is the capital of France?' }],
      tools: [{ type: 'function', function: strictly }],
    });
    expect(choices[0]?.message.content).toBe('The capital of France is Paris.');
    expect(choices[0]?.finish_reason).toBe('stop');
  });

  it('does not call when no tool fits, or none may be called', async () => {
    const request = { model, tools: [WEATHER, TIME], temperature: 0 };
    const hello = await client.chat.completions.create({
      ...request,
      messages: [{ role: 'user', content: 'What is the capital of France?' }],
    });
    expect(hello.choices[0]?.message.content).toBe('The capital of France is Paris.');
    const none = await client.chat.completions.create({
      ...request,
      messages: [QUESTION],
      tool_choice: 'none',
    });
    expect(none.choices[0]?.message.tool_calls).toBeUndefined();
    expect(none.choices[0]?.finish_reason).toBe('stop');
  });
});
