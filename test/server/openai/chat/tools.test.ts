import type OpenAI from 'openai';
import { afterEach, describe, expect, test } from 'vitest';
import { bytesOf, EOS } from '../../../support/byte-model.js';
import { ScriptedEngine } from '../../../support/scripted-engine.js';
import { startTestServer, stopTestServers } from '../../../support/test-server.js';
import { TIME, toolModel, WEATHER } from '../../../support/tool-model.js';

afterEach(stopTestServers);

/** Says texts, each of them one output of the engine, then ends. */
const saying = (...pieces: string[]): ScriptedEngine =>
  new ScriptedEngine(() => ({ steps: [...pieces.map(bytesOf), [EOS]], finish: 'stop' }), {
    maxModelLength: 1024,
  });

const messages = [{ role: 'user' as const, content: 'Weather in Paris?' }];
const request = { model: 'byte-model', messages, tools: [WEATHER, TIME] };

const CALL = '<tool_call>\n{"name": "get_weather", "arguments": {"city": "Paris"}}\n</tool_call>';
const CALL_2 = '<tool_call>\n{"name": "get_time", "arguments": {}}\n</tool_call>';

const promptOf = (engine: ScriptedEngine): string =>
  Buffer.from(engine.submitted[0]?.request.promptTokenIds ?? []).toString();

interface Delta {
  content?: string | null;
  reasoning_content?: string;
  tool_calls?: OpenAI.ChatCompletionChunk.Choice.Delta.ToolCall[];
}

/** All deltas of choice 0 and its finish reason; the role's delta is left out. */
async function deltasOf(
  client: OpenAI,
  body: OpenAI.ChatCompletionCreateParams,
): Promise<{ deltas: Delta[]; reason: string | null | undefined }> {
  const deltas: Delta[] = [];
  let reason: string | null | undefined = null;
  for await (const { choices } of await client.chat.completions.create({ ...body, stream: true })) {
    const [choice] = choices;
    if (choice?.index !== 0) continue;
    const { role, ...delta } = choice.delta;
    if (role === undefined && Object.keys(delta).length > 0) deltas.push(delta);
    reason = choice.finish_reason ?? reason;
  }
  return { deltas, reason };
}

describe('tool calls', () => {
  test('whole: content is null, arguments are a text, the reason is tool_calls', async () => {
    const engine = saying(`${CALL}\n${CALL_2}`);
    const { client } = await startTestServer(engine, { model: toolModel });
    const { choices } = await client.chat.completions.create(request);
    expect(choices).toEqual([
      {
        index: 0,
        message: {
          role: 'assistant',
          content: null,
          refusal: null,
          tool_calls: [
            {
              id: expect.stringMatching(/^call_[0-9a-f]{32}$/) as string,
              type: 'function',
              function: { name: 'get_weather', arguments: '{"city": "Paris"}' },
            },
            {
              id: expect.stringMatching(/^call_/) as string,
              type: 'function',
              function: { name: 'get_time', arguments: '{}' },
            },
          ],
        },
        logprobs: null,
        finish_reason: 'tool_calls',
        stop_reason: null,
      },
    ]);
    expect(promptOf(engine)).toBe('<tools>get_weather;get_time;<user>Weather in Paris?<assistant>');
  });

  test('streamed: id and name first, then arguments as they come, by index', async () => {
    const pieces = [
      'I will',
      ' look. \n<tool',
      '_call>\n{"na',
      'me": "get_weather", ',
      '"arguments"',
    ];
    pieces.push(': {"ci', 'ty": "Pa', 'ris"}}\n</tool_call>', '\n', CALL_2);
    const { client } = await startTestServer(saying(...pieces), { model: toolModel });
    const { deltas, reason } = await deltasOf(client, request);
    const id = expect.stringMatching(/^call_/) as string;
    const more = (index: number, text: string): Delta => ({
      tool_calls: [{ index, function: { arguments: text } }],
    });
    expect(deltas).toEqual([
      { content: 'I will' },
      { content: ' look.' },
      {
        tool_calls: [
          { index: 0, id, type: 'function', function: { name: 'get_weather', arguments: '' } },
        ],
      },
      more(0, '{"ci'),
      more(0, 'ty": "Pa'),
      more(0, 'ris"}'),
      {
        tool_calls: [
          { index: 1, id, type: 'function', function: { name: 'get_time', arguments: '' } },
        ],
      },
      more(1, '{}'),
    ]);
    expect(reason).toBe('tool_calls');
  });

  test("the client's own stream helper puts the call together", async () => {
    const { client } = await startTestServer(saying(...CALL.split('')), { model: toolModel });
    const stream = client.chat.completions.stream(request);
    const { choices } = await stream.finalChatCompletion();
    expect(choices[0]?.finish_reason).toBe('tool_calls');
    expect(choices[0]?.message.tool_calls?.[0]).toMatchObject({
      type: 'function',
      function: { name: 'get_weather', arguments: '{"city": "Paris"}' },
    });
  });

  test('each of n choices has its own calls and ids', async () => {
    const engine = new ScriptedEngine(({ sampling }) => ({
      steps: [...bytesOf(sampling.seed === 7 ? CALL : 'No.').map((id) => [id]), [EOS]],
      finish: 'stop',
    }));
    const { client } = await startTestServer(engine, { model: toolModel });
    const { choices } = await client.chat.completions.create({ ...request, n: 2 });
    expect(choices.map(({ message, finish_reason }) => [message.content, finish_reason])).toEqual([
      [null, 'tool_calls'],
      ['No.', 'stop'],
    ]);
  });

  test('parallel_tool_calls: false ends behind the first call', async () => {
    const engine = saying(...(CALL + CALL_2).split(''));
    const { client } = await startTestServer(engine, { model: toolModel });
    const body = { ...request, parallel_tool_calls: false };
    const { choices } = await client.chat.completions.create(body);
    expect(choices[0]?.message.tool_calls).toHaveLength(1);
    expect(choices[0]?.finish_reason).toBe('tool_calls');
    expect(engine.submitted[0]?.ended).toBe('left');
  });

  const weather = { type: 'function' as const, function: { name: 'get_weather' } };
  test.each([
    ['required' as const, 'tool_calls'],
    [weather, 'stop'],
  ])('tool_choice %j has a grammar and ends with %s', async (choice, reason) => {
    const engine = saying(CALL);
    const { client } = await startTestServer(engine, { model: toolModel });
    const body = { ...request, tool_choice: choice };
    const { choices } = await client.chat.completions.create(body);
    expect(choices[0]?.finish_reason).toBe(reason);
    expect(choices[0]?.message.tool_calls).toHaveLength(1);
    expect((await deltasOf(client, body)).reason).toBe(reason);
    expect(engine.submitted[0]?.request.grammar).toMatchObject({ kind: 'structure' });
  });

  test('a cut call keeps what it has, and says length', async () => {
    const engine = new ScriptedEngine(() => ({
      steps: [bytesOf(CALL.slice(0, 63))],
      finish: 'length',
    }));
    const { client } = await startTestServer(engine, { model: toolModel });
    const { choices } = await client.chat.completions.create(request);
    expect(choices[0]?.finish_reason).toBe('length');
    expect(choices[0]?.message.tool_calls).toMatchObject([
      { function: { name: 'get_weather', arguments: '{"city": "Pari' } },
    ]);
  });

  test('stop strings end the content, not a call', async () => {
    const { client } = await startTestServer(saying(`One.\n${CALL}\nTwo. Three.`), {
      model: toolModel,
    });
    const stop = ['city', '\n', ' Th'];
    const { choices } = await client.chat.completions.create({ ...request, stop });
    expect(choices[0]?.message.content).toBe('One.');
    expect(choices[0]?.message.tool_calls).toHaveLength(1);
  });

  test('log-probabilities are of all tokens, those of a call too, whole and streamed', async () => {
    const { client } = await startTestServer(saying(...`A.${CALL}`.split('')), {
      model: toolModel,
    });
    const body = { ...request, logprobs: true };
    const { choices } = await client.chat.completions.create(body);
    const tokens = choices[0]?.logprobs?.content?.map(({ token }) => token).join('');
    expect(tokens).toBe(`A.${CALL}`);
    let streamed = '';
    for await (const chunk of await client.chat.completions.create({ ...body, stream: true })) {
      for (const { token } of chunk.choices[0]?.logprobs?.content ?? []) streamed += token;
    }
    expect(streamed).toBe(`A.${CALL}`);
  });

  test('without tools, and with tool_choice none, nothing is a call and no tool is shown', async () => {
    const engine = saying(CALL);
    const { client } = await startTestServer(engine, { model: toolModel });
    for (const body of [
      { model: 'byte-model', messages },
      { ...request, tool_choice: 'none' as const },
    ]) {
      const { choices } = await client.chat.completions.create(body);
      expect(choices[0]?.message).toEqual({ role: 'assistant', content: CALL, refusal: null });
      expect(choices[0]?.finish_reason).toBe('stop');
    }
    expect(promptOf(engine)).toBe('<user>Weather in Paris?<assistant>');
  });

  test('allowed_tools shows only these', async () => {
    const engine = saying('Hm.');
    const { client } = await startTestServer(engine, { model: toolModel });
    await client.chat.completions.create({
      ...request,
      tool_choice: {
        type: 'allowed_tools',
        allowed_tools: {
          mode: 'auto',
          tools: [{ type: 'function', function: { name: 'get_time' } }],
        },
      },
    });
    expect(promptOf(engine)).toContain('<tools>get_time;<user>');
  });

  test('calls and results of earlier turns reach the template', async () => {
    const engine = saying('Sunny.');
    const { client } = await startTestServer(engine, { model: toolModel });
    await client.chat.completions.create({
      ...request,
      messages: [
        ...messages,
        {
          role: 'assistant',
          content: null,
          tool_calls: [
            {
              id: 'a',
              type: 'function',
              function: { name: 'get_weather', arguments: '{"city":"Paris"}' },
            },
            { id: 'b', type: 'function', function: { name: 'get_time', arguments: '' } },
          ],
        },
        { role: 'tool', tool_call_id: 'a', content: [{ type: 'text', text: 'sun' }] },
        { role: 'tool', tool_call_id: 'unknown', content: '12:00' },
      ],
    });
    expect(promptOf(engine)).toBe(
      '<tools>get_weather;get_time;<user>Weather in Paris?<assistant>' +
        '<tool_call>get_weather{"city": "Paris"}<tool_call>get_time{}' +
        '<tool get_weather>sun<tool>12:00<assistant>',
    );
  });
});

test('/tokenize counts tools and template variables', async () => {
  const { post } = await startTestServer(saying('x'), { model: toolModel });
  const body = { messages, tools: [TIME], chat_template_kwargs: { enable_thinking: true } };
  const answer = (await (await post('/tokenize', body)).json()) as { tokens: number[] };
  expect(Buffer.from(answer.tokens).toString()).toBe(
    '<tools>get_time;<user>Weather in Paris?<assistant><think>\n',
  );
});

describe('what is refused', () => {
  const named = (name: string): object => ({ type: 'function', function: { name } });
  test.each<[string, object, string, RegExp]>([
    ['no tools', { tools: [] }, 'tools', /at least 1|fewer/],
    ['129 tools', { tools: Array.from({ length: 129 }, () => TIME) }, 'tools', /128/],
    [
      'another type',
      { tools: [{ type: 'custom', custom: { name: 'x' } }] },
      'tools[0].type',
      /"function"/,
    ],
    ['a name with a space', { tools: [named('get time')] }, 'tools[0].function.name', /match/],
    ['a long name', { tools: [named('x'.repeat(65))] }, 'tools[0].function.name', /match/],
    ['a name twice', { tools: [TIME, WEATHER, TIME] }, 'tools[2].function.name', /get_time.*twice/],
    [
      'parameters that are a list',
      { tools: [{ type: 'function', function: { name: 'f', parameters: { type: 'array' } } }] },
      'tools[0].function.parameters',
      /of f must be a schema of type object/,
    ],
    ['an unknown choice', { tool_choice: 'any' }, 'tool_choice', /one of none, auto, required/],
    [
      'an unknown name',
      { tool_choice: named('get_x') },
      'tool_choice.function.name',
      /get_x is none/,
    ],
    [
      'an unknown name among the allowed',
      {
        tool_choice: {
          type: 'allowed_tools',
          allowed_tools: { mode: 'auto', tools: [named('get_time'), named('get_x')] },
        },
      },
      'tool_choice.allowed_tools.tools[1].function.name',
      /get_x is none/,
    ],
    [
      'a choice without tools',
      { tools: null, tool_choice: 'auto' },
      'tool_choice',
      /only with tools/,
    ],
    ['functions and tools', { functions: [{ name: 'x' }] }, 'functions', /together with tools/],
    ['function_call and tools', { function_call: 'auto' }, 'functions', /together with tools/],
  ])('%s', async (_, fields, param, message) => {
    const engine = saying('x');
    const { post } = await startTestServer(engine, { model: toolModel });
    const response = await post('/v1/chat/completions', { ...request, ...fields });
    expect(response.status).toBe(400);
    const { error } = (await response.json()) as { error: { param: string; message: string } };
    expect(error.message).toMatch(message);
    expect(error.param).toBe(param);
    expect(engine.submitted).toEqual([]);
  });

  test('tools, when the template takes none', async () => {
    const { post } = await startTestServer(saying('x'));
    const response = await post('/v1/chat/completions', request);
    expect(response.status).toBe(400);
    expect(await response.text()).toMatch(/template takes no tools/);
  });

  test('tools, when calls are not read', async () => {
    const options = { model: toolModel, settings: { toolCallParser: 'none' } as const };
    const { post } = await startTestServer(saying('x'), options);
    const response = await post('/v1/chat/completions', request);
    expect(response.status).toBe(400);
    expect(await response.text()).toMatch(/--tool-call-parser/);
  });
});

describe('reasoning', () => {
  const THOUGHT = '<think>\nParis…\n</think>\n\n';

  test('has fields and tokens of its own, beside content and calls', async () => {
    const { client } = await startTestServer(saying(...`${THOUGHT}Well.\n${CALL}`.split(/(?:)/u)), {
      model: toolModel,
      settings: { reasoningParser: 'think' },
    });
    const { choices, usage } = await client.chat.completions.create(request);
    expect(choices[0]?.message).toMatchObject({
      content: 'Well.',
      reasoning_content: 'Paris…',
      reasoning: 'Paris…',
      tool_calls: [{ function: { name: 'get_weather' } }],
    });
    const tokens = bytesOf(THOUGHT.trimEnd()).length;
    expect(usage?.completion_tokens_details?.reasoning_tokens).toBe(tokens);
  });

  test('streams', async () => {
    const { client } = await startTestServer(
      saying('<th', 'ink>\nPar', 'is', '\n</thi', 'nk>\n', '\nYes', '.'),
      {
        model: toolModel,
        settings: { reasoningParser: 'think' },
      },
    );
    const { deltas } = await deltasOf(client, { model: 'byte-model', messages });
    expect(deltas).toEqual([
      { reasoning_content: 'Par', reasoning: 'Par' },
      { reasoning_content: 'is', reasoning: 'is' },
      { content: 'Yes' },
      { content: '.' },
    ]);
  });

  test('may be opened by the prompt, through chat_template_kwargs', async () => {
    const engine = saying('Hm.', '\n</think>\nYes.');
    const { post } = await startTestServer(engine, {
      model: toolModel,
      settings: { reasoningParser: 'think' },
    });
    const response = await post('/v1/chat/completions', {
      messages,
      chat_template_kwargs: { enable_thinking: true },
      stop: ['Hm'],
    });
    const body = (await response.json()) as OpenAI.ChatCompletion;
    expect(body.choices[0]?.message).toMatchObject({ content: 'Yes.', reasoning: 'Hm.' });
    expect(promptOf(engine)).toBe('<user>Weather in Paris?<assistant><think>\n');
  });

  test('of earlier turns reaches the template, under either name', async () => {
    const engine = saying('x');
    const { post } = await startTestServer(engine, { model: toolModel });
    const turn = { role: 'assistant', content: 'a' };
    await post('/v1/chat/completions', {
      messages: [{ ...turn, reasoning_content: 'one' }, { ...turn, reasoning: 'two' }, ...messages],
    });
    expect(promptOf(engine)).toContain('<assistant>(one)a<assistant>(two)a<user>');
  });

  test('is read as the template shows, and is text without a parser', async () => {
    const messageBy = async (settings: object): Promise<object | undefined> => {
      const { client } = await startTestServer(saying(`${THOUGHT}Yes.`), {
        model: toolModel,
        settings,
      });
      const body = { model: 'byte-model', messages };
      return (await client.chat.completions.create(body)).choices[0]?.message;
    };
    expect(await messageBy({})).toMatchObject({ content: 'Yes.', reasoning: 'Paris…' });
    const whole = { content: `${THOUGHT}Yes.` };
    expect(await messageBy({ reasoningParser: 'none' })).toMatchObject(whole);
  });

  test.each<[object, string]>([
    [{ reasoning_effort: 'huge' }, 'reasoning_effort'],
    [{ chat_template_kwargs: { messages: [] } }, 'chat_template_kwargs.messages'],
  ])('%j is refused', async (fields, param) => {
    const { post } = await startTestServer(saying('x'), { model: toolModel });
    const response = await post('/v1/chat/completions', { messages, ...fields });
    expect(response.status).toBe(400);
    expect(await response.json()).toMatchObject({ error: { param } });
  });
});
