import type OpenAI from 'openai';
import { afterEach, describe, expect, test } from 'vitest';
import { bytesOf, EOS } from '../../../support/byte-model.js';
import { ScriptedEngine } from '../../../support/scripted-engine.js';
import { startTestServer, stopTestServers } from '../../../support/test-server.js';
import { toolModel } from '../../../support/tool-model.js';

afterEach(stopTestServers);

const MODEL = 'byte-model';

/** Each request gets the next text, in pieces. */
const saying = (...texts: (readonly string[])[]): ScriptedEngine => {
  let next = 0;
  return new ScriptedEngine(
    () => ({ steps: [...(texts[next++] ?? []).map(bytesOf), [EOS]], finish: 'stop' }),
    { maxModelLength: 1024 },
  );
};

const promptOf = (engine: ScriptedEngine, index = 0): string =>
  Buffer.from(engine.submitted[index]?.request.promptTokenIds ?? []).toString();

const WEATHER: OpenAI.Responses.FunctionTool = {
  type: 'function',
  name: 'get_weather',
  description: 'Get the weather in a city',
  parameters: { type: 'object', properties: { city: { type: 'string' } }, required: ['city'] },
  strict: null,
};
const TIME: OpenAI.Responses.FunctionTool = {
  type: 'function',
  name: 'get_time',
  parameters: null,
  strict: null,
};
const tools = [WEATHER, TIME];

const CALL = [
  '<tool_call>\n{"name": "get_weather", "argu',
  'ments": {"city":',
  ' "Paris"}}\n</tool_call>',
];
const CALL_2 = ['\n<tool_call>\n{"name": "get_time", "arguments": {}}\n</tool_call>'];

describe('function calls', () => {
  test('are items of the output, and their results continue the response', async () => {
    const engine = saying(['Let me see. ', ...CALL], ['Sunny.']);
    const { client } = await startTestServer(engine, { model: toolModel });
    const first = await client.responses.create({ model: MODEL, input: 'Weather?', tools });
    expect(promptOf(engine)).toBe('<tools>get_weather;get_time;<user>Weather?<assistant>');
    expect(first.status).toBe('completed');
    expect(first.tools).toMatchObject([{ name: 'get_weather' }, { name: 'get_time' }]);
    expect(first.output).toMatchObject([
      { type: 'message', status: 'completed', content: [{ type: 'output_text' }] },
      {
        type: 'function_call',
        status: 'completed',
        id: expect.stringMatching(/^fc_/) as string,
        call_id: expect.stringMatching(/^call_/) as string,
        name: 'get_weather',
        arguments: '{"city": "Paris"}',
      },
    ]);
    const call = first.output[1] as OpenAI.Responses.ResponseFunctionToolCall;
    const second = await client.responses.create({
      model: MODEL,
      previous_response_id: first.id,
      input: [{ type: 'function_call_output', call_id: call.call_id, output: '{"sky":"clear"}' }],
    });
    expect(promptOf(engine, 1)).toBe(
      '<user>Weather?<assistant>Let me see.<tool_call>get_weather{"city": "Paris"}' +
        '<tool get_weather>{"sky":"clear"}<assistant>',
    );
    expect(second.output_text).toBe('Sunny.');
  });

  test('sent back as input they say the same', async () => {
    const engine = saying(CALL, ['Sunny.']);
    const { client } = await startTestServer(engine, { model: toolModel });
    const { output } = await client.responses.create({ model: MODEL, input: 'Weather?', tools });
    const call = output[0] as OpenAI.Responses.ResponseFunctionToolCall;
    await client.responses.create({
      model: MODEL,
      store: false,
      input: [
        { role: 'user', content: 'Weather?' },
        call,
        {
          type: 'function_call_output',
          call_id: call.call_id,
          output: [{ type: 'input_text', text: 'clear' }],
        },
      ],
    });
    expect(promptOf(engine, 1)).toBe(
      '<user>Weather?<assistant><tool_call>get_weather{"city": "Paris"}<tool get_weather>clear<assistant>',
    );
  });

  test('streamed: arguments as they come, one item after the other', async () => {
    const { client } = await startTestServer(saying([...CALL, ...CALL_2]), { model: toolModel });
    const stream = client.responses.stream({ model: MODEL, input: 'x', tools });
    const events: OpenAI.Responses.ResponseStreamEvent[] = [];
    for await (const event of stream) events.push(event);
    const types = events.map(({ type }) => type).filter((type, i, all) => type !== all[i - 1]);
    expect(types).toEqual([
      'response.created',
      'response.in_progress',
      'response.output_item.added',
      'response.function_call_arguments.delta',
      'response.function_call_arguments.done',
      'response.output_item.done',
      'response.output_item.added',
      'response.function_call_arguments.delta',
      'response.function_call_arguments.done',
      'response.output_item.done',
      'response.completed',
    ]);
    expect(events.map((event) => event.sequence_number)).toEqual(events.map((_, i) => i));
    expect(events[2]).toMatchObject({
      output_index: 0,
      item: { type: 'function_call', status: 'in_progress', name: 'get_weather', arguments: '' },
    });
    const pieces = events.flatMap((event) =>
      event.type === 'response.function_call_arguments.delta' && event.output_index === 0
        ? [event.delta]
        : [],
    );
    expect(pieces.length).toBeGreaterThan(1);
    expect(pieces.join('')).toBe('{"city": "Paris"}');
    const { output } = await stream.finalResponse();
    expect(output).toMatchObject([
      { name: 'get_weather', arguments: '{"city": "Paris"}', status: 'completed' },
      { name: 'get_time', arguments: '{}', status: 'completed' },
    ]);
  });

  test('cut in its arguments, a call is incomplete', async () => {
    const engine = new ScriptedEngine(
      () => ({ steps: CALL.slice(0, 2).map(bytesOf), finish: 'length' }),
      { maxModelLength: 1024 },
    );
    const { client } = await startTestServer(engine, { model: toolModel });
    const response = await client.responses.create({ model: MODEL, input: 'x', tools });
    expect(response).toMatchObject({
      status: 'incomplete',
      output: [{ type: 'function_call', status: 'incomplete', arguments: '{"city":' }],
    });
  });

  test('parallel_tool_calls: false ends behind the first', async () => {
    const engine = saying([...CALL, ...CALL_2, 'and more']);
    const { client } = await startTestServer(engine, { model: toolModel });
    const { output, parallel_tool_calls: parallel } = await client.responses.create({
      model: MODEL,
      input: 'x',
      tools,
      parallel_tool_calls: false,
    });
    expect(output).toMatchObject([{ type: 'function_call', name: 'get_weather' }]);
    expect(parallel).toBe(false);
  });

  test('tools that may not be called are not shown', async () => {
    const engine = saying(['a'], ['b'], ['c']);
    const { client } = await startTestServer(engine, { model: toolModel });
    const ask = (fields: Partial<OpenAI.Responses.ResponseCreateParamsNonStreaming>) =>
      client.responses.create({ model: MODEL, input: 'x', tools, ...fields });
    const none = await ask({ tool_choice: 'none' });
    const tool_choice = {
      type: 'allowed_tools' as const,
      mode: 'auto' as const,
      tools: [{ type: 'function', name: 'get_time' }],
    };
    const allowed = await ask({ tool_choice });
    await ask({ tools: [], tool_choice: 'auto' });
    expect([0, 1, 2].map((i) => promptOf(engine, i))).toEqual([
      '<user>x<assistant>',
      '<tools>get_time;<user>x<assistant>',
      '<user>x<assistant>',
    ]);
    expect([none.tool_choice, allowed.tool_choice]).toEqual(['none', tool_choice]);
  });

  test.each<[string, object, string]>([
    ['no kind of tool', { tools: [{ type: 'nonsense' }] }, 'tools[0].type'],
    ['no name', { tools: [{ type: 'function' }] }, 'tools[0].name'],
    ['no function', { tools: [{ type: 'local_shell' }], tool_choice: 'required' }, 'tool_choice'],
    ['a name', { tools: [{ type: 'function', name: 'a b' }] }, 'tools[0].name'],
    ['twice', { tools: [TIME, TIME] }, 'tools[1].name'],
    ['parameters', { tools: [{ ...TIME, parameters: { type: 'string' } }] }, 'tools[0].parameters'],
    ['no such tool', { tools, tool_choice: { type: 'function', name: 'f' } }, 'tool_choice.name'],
    [
      'no such allowed tool',
      {
        tools,
        tool_choice: {
          type: 'allowed_tools',
          mode: 'auto',
          tools: [{ type: 'function', name: 'f' }],
        },
      },
      'tool_choice.tools[0].name',
    ],
    ['choice without tools', { tool_choice: 'required' }, 'tool_choice'],
    ['scores', { tools, include: ['message.output_text.logprobs'] }, 'include'],
    ['effort', { reasoning: { effort: 'huge' } }, 'reasoning.effort'],
    ['summary', { reasoning: { summary: 'long' } }, 'reasoning.summary'],
  ])('%s is a 400 that names it as the client does', async (_, fields, param) => {
    const { post } = await startTestServer(saying(['x']), { model: toolModel });
    const response = await post('/v1/responses', { input: 'x', ...fields });
    const { error } = (await response.json()) as { error: { message: string } };
    expect([response.status, error]).toMatchObject([400, { param }]);
    expect(error.message).toContain(param);
  });
});

test('reasoning is an item of its own, counted, and goes back to the template', async () => {
  const engine = saying(['<think>two ', 'plus two</think>', 'Four.'], ['Yes.']);
  const { client } = await startTestServer(engine, {
    model: toolModel,
    settings: { reasoningParser: 'think' },
  });
  const first = await client.responses.create({ model: MODEL, input: '2+2?' });
  expect(first.output).toMatchObject([
    { type: 'reasoning', summary: [], content: [{ type: 'reasoning_text', text: 'two plus two' }] },
    { type: 'message', content: [{ text: 'Four.' }] },
  ]);
  expect(first.usage?.output_tokens_details.reasoning_tokens).toBeGreaterThan(10);
  await client.responses.create({ model: MODEL, input: 'Sure?', previous_response_id: first.id });
  expect(promptOf(engine, 1)).toBe(
    '<user>2+2?<assistant>(two plus two)Four.<user>Sure?<assistant>',
  );
});

test('reasoning is streamed before the text', async () => {
  const { client } = await startTestServer(saying(['<think>hm</think>', 'So.']), {
    model: toolModel,
    settings: { reasoningParser: 'think' },
  });
  const stream = client.responses.stream({ model: MODEL, input: 'x' });
  const deltas: string[] = [];
  stream.on('response.reasoning_text.delta', ({ delta }) => deltas.push(delta));
  stream.on('response.output_text.delta', ({ delta }) => deltas.push(delta));
  const { output } = await stream.finalResponse();
  expect(deltas).toEqual(['hm', 'So.']);
  expect(output.map(({ type }) => type)).toEqual(['reasoning', 'message']);
});
