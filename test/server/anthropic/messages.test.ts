import Anthropic from '@anthropic-ai/sdk';
import { afterEach, describe, expect, test } from 'vitest';
import { bytesOf, EOS } from '../../support/byte-model.js';
import { ScriptedEngine } from '../../support/scripted-engine.js';
import { startTestServer, stopTestServers, type TestServer } from '../../support/test-server.js';
import { toolModel } from '../../support/tool-model.js';

afterEach(stopTestServers);

const model = 'byte-model';
const messages: Anthropic.MessageParam[] = [{ role: 'user', content: 'Hi' }];

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

const clientOf = ({ url }: TestServer): Anthropic =>
  new Anthropic({ baseURL: url, apiKey: 'none', maxRetries: 0 });

const WEATHER: Anthropic.Tool = {
  name: 'get_weather',
  description: 'Get the weather in a city',
  input_schema: { type: 'object', properties: { city: { type: 'string' } }, required: ['city'] },
};
const TIME: Anthropic.Tool = { name: 'get_time', input_schema: { type: 'object' } };
const CALL = [
  '<tool_call>\n{"name": "get_weather", "argu',
  'ments": {"city":',
  ' "Paris"}}\n</tool_call>',
];
const CALL_2 = ['\n<tool_call>\n{"name": "get_time", "arguments": {}}\n</tool_call>'];

/** A client of a server whose model says the texts, one for each request. */
const start = async (...texts: (readonly string[])[]) => {
  const engine = saying(...texts);
  const server = await startTestServer(engine, {
    model: toolModel,
    settings: { reasoningParser: 'think' },
  });
  return { engine, client: clientOf(server), server };
};

describe('a message', () => {
  test('has blocks, a reason and usage', async () => {
    const { client, engine } = await start(['Hel', 'lo']);
    const { _request_id, ...message } = await client.messages.create({
      model,
      max_tokens: 20,
      system: 'Be brief.',
      messages,
    });
    expect(promptOf(engine)).toBe('<system>Be brief.<user>Hi<assistant>');
    expect(message).toEqual({
      id: expect.stringMatching(/^msg_[0-9a-f]{32}$/) as string,
      type: 'message',
      role: 'assistant',
      model,
      content: [{ type: 'text', text: 'Hello', citations: null }],
      stop_reason: 'end_turn',
      stop_sequence: null,
      container: null,
      stop_details: null,
      usage: {
        input_tokens: promptOf(engine).length,
        cache_creation_input_tokens: 0,
        cache_read_input_tokens: 0,
        cache_creation: { ephemeral_5m_input_tokens: 0, ephemeral_1h_input_tokens: 0 },
        output_tokens: 6,
        output_tokens_details: { thinking_tokens: 0 },
        server_tool_use: null,
        service_tier: 'standard',
        inference_geo: null,
        speed: null,
      },
    });
    expect(_request_id).toMatch(/./);
  });

  test('streamed is the same, event by event', async () => {
    const { server } = await start(['Hel', 'lo']);
    const answer = await server.post('/v1/messages', {
      model,
      max_tokens: 20,
      messages,
      stream: true,
    });
    expect(answer.headers.get('content-type')).toBe('text/event-stream; charset=utf-8');
    const events = (await answer.text()).trimEnd().split('\n\n');
    const parsed = events.map((event) => {
      const [name, data] = event.split('\n');
      const value = JSON.parse(data?.slice('data: '.length) ?? '') as { type: string };
      expect(name).toBe(`event: ${value.type}`);
      return value;
    });
    expect(parsed).toMatchObject([
      {
        type: 'message_start',
        message: { content: [], stop_reason: null, usage: { output_tokens: 0 } },
      },
      { type: 'ping' },
      { type: 'content_block_start', index: 0, content_block: { type: 'text', text: '' } },
      { type: 'content_block_delta', index: 0, delta: { type: 'text_delta', text: 'Hel' } },
      { type: 'content_block_delta', index: 0, delta: { type: 'text_delta', text: 'lo' } },
      { type: 'content_block_stop', index: 0 },
      {
        type: 'message_delta',
        delta: { stop_reason: 'end_turn', stop_sequence: null },
        usage: { output_tokens: 6 },
      },
      { type: 'message_stop' },
    ]);
  });

  test('ends by a stop sequence, and says by which', async () => {
    const { client } = await start(['one, two', ', three']);
    const message = await client.messages.create({
      model,
      max_tokens: 50,
      messages,
      stop_sequences: ['!', ', th'],
    });
    expect(message).toMatchObject({
      content: [{ text: 'one, two' }],
      stop_reason: 'stop_sequence',
      stop_sequence: ', th',
    });
  });

  test.each([
    [3, 'max_tokens'],
    [2000, 'model_context_window_exceeded'],
  ])('of at most %i tokens ends with %s', async (max_tokens, reason) => {
    const engine = new ScriptedEngine(({ maxTokens }) => ({
      steps: [bytesOf('x'.repeat(maxTokens))],
      finish: 'length',
    }));
    const server = await startTestServer(engine);
    const message = await clientOf(server).messages.create({ model, max_tokens, messages });
    expect(message.stop_reason).toBe(reason);
    const context = engine.info.maxModelLength - promptOf(engine).length;
    expect(message.usage.output_tokens).toBe(Math.min(max_tokens, context));
  });

  test('may have been begun by the client', async () => {
    const { client, engine } = await start([' Paris.']);
    const message = await client.messages.create({
      model,
      max_tokens: 20,
      messages: [...messages, { role: 'assistant', content: 'It is' }],
    });
    expect(promptOf(engine)).toBe('<user>Hi<assistant>It is');
    expect(message.content).toMatchObject([{ text: ' Paris.' }]);
  });

  test('follows a schema', async () => {
    const { client, engine } = await start(['{"a": 1}']);
    const schema = { type: 'object', properties: { a: { type: 'number' } } };
    await client.messages.create({
      model,
      max_tokens: 20,
      messages,
      output_config: { format: { type: 'json_schema', schema } },
    });
    // Beside it, the model may think.
    expect(engine.submitted[0]?.request.grammar).toMatchObject({
      kind: 'structure',
      parts: [{ kind: 'alternatives' }, { kind: 'json-schema', source: JSON.stringify(schema) }],
    });
  });

  test('is sampled as the request says', async () => {
    const { client, engine } = await start(['a']);
    const sampling = { temperature: 0.5, top_p: 0.9, top_k: 7 };
    await client.messages.create({ model, max_tokens: 20, messages, ...sampling });
    expect(engine.submitted[0]?.request).toMatchObject({
      maxTokens: 20,
      route: 'messages',
      sampling: { temperature: 0.5, topP: 0.9, topK: 7 },
    });
  });
});

describe('tools', () => {
  const ask = { model, max_tokens: 100, messages, tools: [WEATHER, TIME] };

  test('are called, and their results continue the conversation', async () => {
    const { client, engine } = await start(['Let me see. ', ...CALL], ['Sunny.']);
    const first = await client.messages.create(ask);
    expect(promptOf(engine)).toBe('<tools>get_weather;get_time;<user>Hi<assistant>');
    expect(first).toMatchObject({
      stop_reason: 'tool_use',
      content: [
        { type: 'text', text: expect.stringMatching(/^Let me see\./) as string },
        {
          type: 'tool_use',
          id: expect.stringMatching(/^toolu_/) as string,
          name: 'get_weather',
          input: { city: 'Paris' },
        },
      ],
    });
    const call = first.content[1] as Anthropic.ToolUseBlock;
    await client.messages.create({
      ...ask,
      messages: [
        ...messages,
        { role: 'assistant', content: first.content },
        {
          role: 'user',
          content: [
            { type: 'tool_result', tool_use_id: call.id, content: 'no network', is_error: true },
            { type: 'text', text: 'Try again.' },
          ],
        },
      ],
    });
    expect(promptOf(engine, 1)).toBe(
      '<tools>get_weather;get_time;<user>Hi<assistant>Let me see.<tool_call>get_weather{"city": "Paris"}' +
        '<tool get_weather>Error: no network<user>Try again.<assistant>',
    );
  });

  test('streamed: the input comes in pieces, one block after the other', async () => {
    const { client } = await start([...CALL, ...CALL_2]);
    const pieces: string[] = [];
    const stream = client.messages.stream(ask).on('inputJson', (piece) => pieces.push(piece));
    const { content, stop_reason } = await stream.finalMessage();
    expect(pieces.length).toBeGreaterThan(2);
    expect(content).toMatchObject([
      { type: 'tool_use', name: 'get_weather', input: { city: 'Paris' } },
      { type: 'tool_use', name: 'get_time', input: {} },
    ]);
    expect(stop_reason).toBe('tool_use');
  });

  test('disable_parallel_tool_use ends behind the first', async () => {
    const { client } = await start([...CALL, ...CALL_2]);
    const { content } = await client.messages.create({
      ...ask,
      tool_choice: { type: 'auto', disable_parallel_tool_use: true },
    });
    expect(content).toMatchObject([{ name: 'get_weather' }]);
  });

  test('cut in its input, a call has what is complete of it', async () => {
    const engine = new ScriptedEngine(
      () => ({
        steps: [bytesOf('<tool_call>\n{"name": "get_weather", "arguments": {"a": [1, 2], "b": "x')],
        finish: 'length',
      }),
      { maxModelLength: 1024 },
    );
    const server = await startTestServer(engine, { model: toolModel });
    const message = await clientOf(server).messages.create(ask);
    expect(message).toMatchObject({
      stop_reason: 'max_tokens',
      content: [{ type: 'tool_use', input: { a: [1, 2] } }],
    });
  });

  test.each<[Anthropic.ToolChoice, string, string]>([
    [{ type: 'none' }, '<user>Hi<assistant>', 'free'],
    [{ type: 'auto' }, '<tools>get_weather;get_time;<user>Hi<assistant>', 'free'],
    [{ type: 'any' }, '<tools>get_weather;get_time;<user>Hi<assistant>', 'structure'],
    [{ type: 'tool', name: 'get_time' }, '<tools>get_time;<user>Hi<assistant>', 'structure'],
  ])('tool_choice %j', async (tool_choice, prompt, grammar) => {
    const { client, engine } = await start(['a']);
    await client.messages.create({ ...ask, tool_choice });
    expect(promptOf(engine)).toBe(prompt);
    expect(engine.submitted[0]?.request.grammar?.kind ?? 'free').toBe(grammar);
  });

  test("that only Anthropic's models know are not shown to the model", async () => {
    const { client, engine } = await start(['a']);
    await client.messages.create({
      ...ask,
      tools: [{ type: 'web_search_20250305', name: 'web_search' }, WEATHER],
    });
    expect(promptOf(engine)).toBe('<tools>get_weather;<user>Hi<assistant>');
  });
});

describe('thinking', () => {
  const ask = { model, max_tokens: 2000, messages };

  test('comes in a block of its own, which can be sent back', async () => {
    const { client, engine } = await start(['Hm', 'm.\n</think>\n\nYes.'], ['No.']);
    const { content, usage } = await client.messages.create({
      ...ask,
      thinking: { type: 'enabled', budget_tokens: 1024 },
    });
    expect(promptOf(engine)).toMatch(/<think>\n$/);
    expect(content).toMatchObject([
      { type: 'thinking', thinking: 'Hmm.', signature: expect.stringMatching(/./) as string },
      { type: 'text', text: 'Yes.' },
    ]);
    expect(usage.output_tokens_details?.thinking_tokens).toBeGreaterThan(4);
    await client.messages.create({
      ...ask,
      messages: [
        ...messages,
        { role: 'assistant', content: [{ type: 'redacted_thinking', data: 'x' }, ...content] },
        { role: 'user', content: 'Sure?' },
      ],
    });
    expect(promptOf(engine, 1)).toBe('<user>Hi<assistant>(Hmm.)Yes.<user>Sure?<assistant>');
  });

  test('its budget reaches the engine, if a text closes reasoning', async () => {
    const thinking = { type: 'enabled' as const, budget_tokens: 1024 };
    const { client, engine } = await start(['a', 'b']);
    await client.messages.create({ ...ask, thinking });
    expect(engine.submitted[0]?.request.thinking).toMatchObject({ budget: 1024, isOpen: true });
    for (const reasoningParser of ['none', 'openai'] as const) {
      const other = saying(['a']);
      const server = await startTestServer(other, {
        model: toolModel,
        settings: { reasoningParser },
      });
      await clientOf(server).messages.create({ ...ask, thinking });
      expect(other.submitted[0]?.request.thinking).toBeUndefined();
    }
  });

  test('streamed, it ends with a signature', async () => {
    const { client } = await start(['Hm', 'm.\n</think>\n\nYes.']);
    const stream = client.messages.stream({ ...ask, thinking: { type: 'adaptive' } });
    let thought = '';
    let signature = '';
    stream.on('thinking', (delta) => (thought += delta));
    stream.on('signature', (given) => (signature = given));
    const { content } = await stream.finalMessage();
    expect(thought).toBe('Hmm.');
    expect(content).toMatchObject([
      { type: 'thinking', thinking: 'Hmm.', signature },
      { type: 'text', text: 'Yes.' },
    ]);
    expect(signature).not.toBe('');
  });

  test('omitted, its block has no text', async () => {
    const { client } = await start(['Hmm.\n</think>\n\nYes.']);
    const { content } = await client.messages
      .stream({ ...ask, thinking: { type: 'adaptive', display: 'omitted' } })
      .finalMessage();
    expect(content).toMatchObject([{ type: 'thinking', thinking: '' }, { text: 'Yes.' }]);
  });

  test.each([undefined, { type: 'disabled' as const }])('is off with %j', async (thinking) => {
    const { client, engine } = await start(['a']);
    await client.messages.create({ ...ask, ...(thinking && { thinking }) });
    expect(promptOf(engine)).toBe('<user>Hi<assistant>');
  });
});

describe('the prefix cache', () => {
  const long = 'x'.repeat(100);

  /** A prompt of 115 tokens, 48 of which were cached, in blocks of 16. */
  const cached = async (body: Partial<Anthropic.MessageCreateParamsNonStreaming>) => {
    const engine = new ScriptedEngine(() => ({
      steps: [bytesOf('a')],
      finish: 'length',
      cachedTokens: 48,
    }));
    const server = await startTestServer(engine);
    const client = clientOf(server);
    const ask = { model, max_tokens: 20, messages: [{ role: 'user' as const, content: long }] };
    const { usage } = await client.messages.create({ ...ask, ...body });
    const streamed = await client.messages.stream({ ...ask, ...body }).finalMessage();
    expect(streamed.usage).toEqual(usage);
    expect(promptOf(engine)).toHaveLength(117);
    return { usage, request: engine.submitted[0]?.request };
  };

  test('is told of in usage', async () => {
    const { usage, request } = await cached({});
    expect(usage).toMatchObject({
      input_tokens: 69,
      cache_read_input_tokens: 48,
      cache_creation_input_tokens: 0,
    });
    expect(request?.reuse.isRetained).toBe(false);
  });

  test('with a mark, usage counts what was added to it', async () => {
    const content = [
      { type: 'text' as const, text: long, cache_control: { type: 'ephemeral' as const } },
    ];
    const { usage, request } = await cached({ messages: [{ role: 'user', content }] });
    expect(request?.reuse.isRetained).toBe(true);
    expect(usage).toMatchObject({
      input_tokens: 5,
      cache_read_input_tokens: 48,
      cache_creation_input_tokens: 64,
      cache_creation: { ephemeral_5m_input_tokens: 64 },
    });
  });

  test('counts apart what is marked for an hour', async () => {
    const { usage, request } = await cached({ cache_control: { type: 'ephemeral', ttl: '1h' } });
    expect(request?.reuse.isRetained).toBe(true);
    expect(usage.cache_creation?.ephemeral_1h_input_tokens).toBe(64);
  });
});

test('requests of one user or session are a group for the cache', async () => {
  const { client, engine } = await start(['a']);
  await client.messages.create({ model, max_tokens: 5, messages, metadata: { user_id: 's1' } });
  expect(engine.submitted[0]?.request.reuse).toEqual({ key: 's1', isRetained: false });
});

test('count_tokens counts what a message would read', async () => {
  const { client } = await start(['a']);
  const body = { model, messages, tools: [WEATHER], system: 'Be brief.' };
  const { input_tokens } = await client.messages.countTokens(body);
  const message = await client.messages.create({ ...body, max_tokens: 5 });
  expect(input_tokens).toBe(message.usage.input_tokens);
});

test("metadata.user_id takes the user's share", async () => {
  const engine = saying(['a'], ['b']);
  const server = await startTestServer(engine, { settings: { fairShareBy: 'user' } });
  const ask = { model, max_tokens: 5, messages };
  await clientOf(server).messages.create({ ...ask, metadata: { user_id: 'ann' } });
  await clientOf(server).messages.create({ ...ask, metadata: { user_id: 'bob' } });
  const tenants = engine.submitted.map(({ request }) => request.tenant);
  expect(new Set(tenants).size).toBe(2);
});

test('the models are listed in the form that the client knows', async () => {
  const { client } = await start();
  const ids: string[] = [];
  for await (const { id, type } of client.models.list()) ids.push(`${type} ${id}`);
  expect(ids).toEqual(['model byte-model', 'model alias']);
  expect(await client.models.retrieve(model)).toMatchObject({
    id: model,
    max_input_tokens: 1024,
    created_at: expect.stringMatching(/^\d{4}-\d\d-\d\dT/) as string,
  });
});
