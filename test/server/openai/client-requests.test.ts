import { afterEach, describe, expect, test } from 'vitest';
import { ChatTemplate } from '../../../engine/text/chat-template.js';
import { byteModel, bytesOf } from '../../support/byte-model.js';
import { type Script, ScriptedEngine } from '../../support/scripted-engine.js';
import { startTestServer, stopTestServers, type TestServer } from '../../support/test-server.js';
import { toolModel, WEATHER } from '../../support/tool-model.js';

afterEach(stopTestServers);

const CHAT = '/v1/chat/completions';
const messages = [{ role: 'user', content: 'Hi' }];

const saying = (text: string, more: Partial<Script> = {}): ScriptedEngine =>
  new ScriptedEngine(() => ({ steps: [bytesOf(text)], finish: 'stop', ...more }));

const promptOf = ({ submitted }: ScriptedEngine): string =>
  Buffer.from(submitted[0]?.request.promptTokenIds ?? []).toString();

interface ErrorAnswer {
  readonly error: {
    readonly message: string;
    readonly param: string | null;
    readonly code: string | null;
  };
}

async function refusalOf(
  { post }: TestServer,
  path: string,
  body: unknown,
): Promise<ErrorAnswer['error']> {
  const response = await post(path, body);
  const answer = (await response.json()) as ErrorAnswer;
  expect([response.status, answer]).toMatchObject([400, { error: {} }]);
  return answer.error;
}

describe('an answer can be sent back', () => {
  test.each<[string, object, string]>([
    ['that was cut while thinking', { content: null, reasoning_content: '!' }, '<assistant>(!)'],
    [
      "that was cut while thinking, in vLLM's words",
      { content: null, reasoning: '!' },
      '<assistant>(!)',
    ],
    ['that is a refusal', { content: null, refusal: 'No.' }, '<assistant>No.'],
    [
      'that is a part with a refusal',
      { content: [{ type: 'refusal', refusal: 'No.' }] },
      '<assistant>No.',
    ],
    [
      'with one call in the older form',
      { content: null, function_call: { name: 'f', arguments: '{"a": 1}' } },
      '<assistant><tool_call>f{"a": 1}',
    ],
  ])('%s', async (_, fields, text) => {
    const engine = saying('x');
    const { post } = await startTestServer(engine, { model: toolModel });
    const history = [...messages, { role: 'assistant', refusal: null, ...fields }, ...messages];
    expect((await post(CHAT, { messages: history })).status).toBe(200);
    expect(promptOf(engine)).toBe(`<user>Hi${text}<user>Hi<assistant>`);
  });

  test("as it came from the server's own reasoning", async () => {
    const settings = { reasoningParser: 'think' as const };
    const { client } = await startTestServer(saying('<think>hm', { finish: 'length' }), {
      model: toolModel,
      settings,
    });
    const request = { model: 'alias', messages: [{ role: 'user' as const, content: 'Hi' }] };
    const { choices } = await client.chat.completions.create(request);
    const [{ message }] = choices;
    expect(message).toMatchObject({ content: null, reasoning_content: 'hm' });
    const again = { ...request, messages: [...request.messages, message, ...request.messages] };
    await client.chat.completions.create(again);
  });

  test.each([{}, { content: null }, { content: null, refusal: null, reasoning_content: null }])(
    'a message of the assistant with nothing in it is still refused: %j',
    async (fields) => {
      const server = await startTestServer(saying('x'));
      const error = await refusalOf(server, CHAT, { messages: [{ role: 'assistant', ...fields }] });
      expect(error.param).toBe('messages[0].content');
    },
  );
});

describe("a role of the client's own", () => {
  const history = [{ role: 'narrator', content: 'Night falls.', name: 'n' }, ...messages];

  test('is written by a template that takes any', async () => {
    const engine = saying('x');
    const { post } = await startTestServer(engine, { model: toolModel });
    expect((await post(CHAT, { messages: history })).status).toBe(200);
    expect(promptOf(engine)).toBe('<narrator n>Night falls.<user>Hi<assistant>');
    expect((await post('/tokenize', { messages: history })).status).toBe(200);
  });

  test.each<[string, string, string]>([
    [
      'leaves them out',
      "{% for m in messages if m.role == 'user' %}{{ m.content }}{% endfor %}",
      'messages[0].role "narrator": the model\'s chat template leaves out messages of this role',
    ],
    [
      'refuses them',
      "{% for m in messages %}{% if m.role != 'user' %}{{ raise_exception('No ' ~ m.role) }}{% endif %}{{ m.content }}{% endfor %}",
      "the model's chat template refuses the messages: No narrator",
    ],
  ])('is a 400 where the template %s', async (_, source, words) => {
    const chatTemplate = new ChatTemplate(source, 'test', { bosToken: '', eosToken: '' });
    const server = await startTestServer(saying('x'), { model: { ...byteModel, chatTemplate } });
    const error = await refusalOf(server, CHAT, { messages: history });
    expect(error.message).toContain(words);
    expect((await server.post(CHAT, { messages })).status).toBe(200);
  });

  test('has no control tokens in it, whatever the template writes around it', () => {
    const source = '{% for m in messages %}<|{{ m.role }}|>{{ m.content }}{% endfor %}';
    const template = new ChatTemplate(source, 'test', { bosToken: '', eosToken: '' });
    const spans = (role: string) => template.renderPrompt([{ role, content: 'x' }]).client;
    expect(spans('user')).toEqual([{ start: 8, end: 9 }]);
    expect(spans('end')).toEqual([
      { start: 2, end: 5 },
      { start: 7, end: 8 },
    ]);
  });

  test.each<[unknown, string, string]>([
    [5, 'messages[0].role', 'messages[0].role must be string'],
    ['', 'messages[0].role', 'messages[0].role must not be empty'],
    ['r'.repeat(65), 'messages[0].role', 'messages[0].role'],
    [undefined, 'messages[0].role', 'missing required field messages[0].role'],
  ])('%j is none', async (role, param, words) => {
    const server = await startTestServer(saying('x'), { model: toolModel });
    const error = await refusalOf(server, CHAT, { messages: [{ role, content: 'x' }] });
    expect(error.param).toBe(param);
    expect(error.message).toContain(words);
  });

  test('of 17 is one too many', async () => {
    const server = await startTestServer(saying('x'), { model: toolModel });
    const many = Array.from({ length: 17 }, (__, i) => ({ role: `r${i}`, content: 'x' }));
    const error = await refusalOf(server, CHAT, { messages: many });
    expect(error.message).toBe(
      'messages[16].role is one role of your own too many: at most 16 are supported',
    );
  });
});

test('a result in the older form gets the id of the call before it', async () => {
  const engine = saying('x');
  const { post } = await startTestServer(engine, { model: toolModel });
  const call = { role: 'assistant', content: null, function_call: { name: 'f', arguments: '' } };
  const result = { role: 'function', name: 'f', content: '7' };
  await post(CHAT, { messages: [...messages, call, result] });
  expect(promptOf(engine)).toBe('<user>Hi<assistant><tool_call>f{}<tool f>7<assistant>');
});

describe('functions and function_call', () => {
  const functions = [WEATHER.function];
  const CALL = '<tool_call>{"name": "get_weather", "arguments": {"city": "Paris"}}</tool_call>';

  test('answers have a function_call', async () => {
    const { client } = await startTestServer(saying(CALL), { model: toolModel });
    const request = {
      model: 'alias',
      messages: [{ role: 'user' as const, content: 'Hi' }],
      functions,
    };
    const { choices } = await client.chat.completions.create(request);
    expect(choices[0]).toMatchObject({
      finish_reason: 'function_call',
      message: {
        content: null,
        function_call: { name: 'get_weather', arguments: '{"city": "Paris"}' },
      },
    });
    expect(choices[0]?.message).not.toHaveProperty('tool_calls');
    const deltas: { name?: string; arguments?: string }[] = [];
    const ends: unknown[] = [];
    for await (const chunk of await client.chat.completions.create({ ...request, stream: true })) {
      deltas.push(chunk.choices[0]?.delta.function_call ?? {});
      ends.push(chunk.choices[0]?.finish_reason);
    }
    expect(deltas.map((delta) => delta.name ?? '').join('')).toBe('get_weather');
    expect(deltas.map((delta) => delta.arguments ?? '').join('')).toBe('{"city": "Paris"}');
    expect(ends.at(-1)).toBe('function_call');
  });

  test.each<[string, object, string]>([
    ['none', { function_call: 'none' }, '<user>Hi<assistant>'],
    ['auto', { function_call: 'auto' }, '<tools>get_weather;<user>Hi<assistant>'],
    ['named', { function_call: { name: 'get_weather' } }, '<tools>get_weather;<user>Hi<assistant>'],
  ])('function_call %s', async (_, fields, prompt) => {
    const engine = saying(CALL);
    const { post } = await startTestServer(engine, { model: toolModel });
    expect((await post(CHAT, { messages, functions, ...fields })).status).toBe(200);
    expect(promptOf(engine)).toBe(prompt);
  });

  test.each<[string, object, string]>([
    ['an unknown name', { functions, function_call: { name: 'f' } }, 'function_call.name'],
    ['a choice alone', { function_call: 'auto' }, 'function_call'],
    ['twice', { functions: [...functions, ...functions] }, 'functions[1].name'],
    ['with tools', { functions, tools: [WEATHER] }, 'functions'],
  ])('%s is a 400 in the same words', async (_, fields, param) => {
    const server = await startTestServer(saying('x'), { model: toolModel });
    const error = await refusalOf(server, CHAT, { messages, ...fields });
    expect(error.param).toBe(param);
    expect(error.message).not.toContain('.function.');
  });
});

describe('without a body, and with its content type', () => {
  const send = (server: TestServer, method: string, path: string): Promise<Response> =>
    fetch(server.url + path, { method, headers: { 'content-type': 'application/json' } });

  test('as the Python client deletes a response', async () => {
    const server = await startTestServer(saying('x'));
    const { id } = await server.client.responses.create({ model: 'alias', input: 'x' });
    const answer = await send(server, 'DELETE', `/v1/responses/${id}`);
    expect([answer.status, await answer.json()]).toMatchObject([200, { id, deleted: true }]);
    expect((await send(server, 'POST', '/reset_prefix_cache')).status).toBe(200);
  });

  test('is a 400 where a body is needed', async () => {
    const server = await startTestServer(saying('x'));
    const answer = await send(server, 'POST', CHAT);
    expect([answer.status, await answer.json()]).toMatchObject([
      400,
      { error: { message: 'the body is empty; it must be a JSON object' } },
    ]);
  });
});

describe('64-bit integers', () => {
  const seedOf = async (seed: string): Promise<number | undefined> => {
    const engine = saying('x');
    const { post } = await startTestServer(engine);
    const body = `{"messages": ${JSON.stringify(messages)}, "seed": ${seed}, "priority": ${seed}}`;
    const response = await post(CHAT, body);
    expect(response.status).toBe(200);
    return engine.submitted[0]?.request.sampling.seed;
  };

  test('are seeds and priorities', async () => {
    const texts = [
      '9223372036854775807',
      '-9223372036854775808',
      '1234567890123456789',
      '1234567890123459999',
    ];
    const seeds = await Promise.all(texts.map(seedOf));
    for (const seed of seeds)
      expect(seed).toSatisfy((s: number) => Number.isSafeInteger(s) && s >= 0);
    expect(new Set(seeds).size).toBeGreaterThan(2);
    // What a number holds exactly is taken as it is.
    expect(await Promise.all(['7', '4294967303'].map(seedOf))).toEqual([7, 4_294_967_303]);
    expect(await seedOf('-1')).toBe(await seedOf('-1'));
  });

  test.each(['1e30', '-1e30', '1.5'])('%s is none', async (value) => {
    const server = await startTestServer(saying('x'));
    const text = (field: string): string =>
      `{"messages": ${JSON.stringify(messages)}, "${field}": ${value}}`;
    for (const param of ['seed', 'priority']) {
      expect((await refusalOf(server, CHAT, text(param))).param).toBe(param);
    }
  });
});

test('an overflow has the words by which clients know it', async () => {
  const server = await startTestServer(saying('x'));
  const { maxModelLength } = new ScriptedEngine(() => ({ steps: [], finish: 'stop' })).info;
  const prompt = 'x'.repeat(20);
  const text = `This model's maximum context length is ${maxModelLength} tokens. However, you requested`;
  expect(
    await refusalOf(server, '/v1/completions', { prompt, max_tokens: maxModelLength }),
  ).toMatchObject({
    code: 'context_length_exceeded',
    param: 'prompt',
    message: `${text} ${maxModelLength + 20} tokens (20 in the prompt, ${maxModelLength} in the completion).`,
  });
  const far = await refusalOf(server, '/v1/completions', { prompt, max_tokens: 1e300 });
  expect(far.message).toBe(`max_tokens must be <= ${Number.MAX_SAFE_INTEGER}`);
});

test('with echo and no completion, a prompt may fill the context', async () => {
  const engine = saying('', { steps: [[]], finish: 'length' });
  const server = await startTestServer(engine);
  const request = { prompt: 'x'.repeat(engine.info.maxModelLength), echo: true, max_tokens: 0 };
  expect((await server.post('/v1/completions', request)).status).toBe(200);
  expect(engine.submitted[0]?.request.maxTokens).toBe(0);
  const longer = await refusalOf(server, '/v1/completions', {
    ...request,
    prompt: `${request.prompt}x`,
  });
  expect(longer.code).toBe('context_length_exceeded');
});

describe('what clients ask of every model is accepted, and has no effect', () => {
  test('Responses: encrypted reasoning, a summary, verbosity, an effort', async () => {
    const engine = saying('x');
    const { client } = await startTestServer(engine, { model: toolModel });
    const response = await client.responses.create({
      model: 'alias',
      input: 'x',
      include: ['reasoning.encrypted_content'],
      reasoning: { effort: 'low', summary: 'auto' },
      text: { verbosity: 'low' },
    });
    expect(response).toMatchObject({
      reasoning: { effort: null, summary: null },
      text: { verbosity: 'medium' },
    });
    expect(promptOf(engine)).toBe('<user>x<assistant>');
  });

  test('chats: an effort, verbosity', async () => {
    const { post } = await startTestServer(saying('x'));
    const body = { messages, reasoning_effort: 'high', verbosity: 'low' };
    expect((await post(CHAT, body)).status).toBe(200);
  });
});

/** What Codex sends first, shortened. */
const CODEX = {
  model: 'alias',
  instructions: 'You are a coding agent.',
  input: [
    { type: 'message', role: 'developer', content: [{ type: 'input_text', text: 'rules' }] },
    { type: 'message', role: 'user', content: [{ type: 'input_text', text: 'hi' }] },
  ],
  tools: [
    {
      type: 'function',
      name: 'shell',
      strict: false,
      parameters: { type: 'object', properties: {} },
    },
    {
      type: 'custom',
      name: 'apply_patch',
      format: { type: 'grammar', syntax: 'lark', definition: 'start: "x"' },
    },
    {
      type: 'namespace',
      name: 'multi_agent_v1',
      description: 'x',
      tools: [{ type: 'function', name: 'f' }],
    },
    { type: 'web_search', external_web_access: false },
  ],
  tool_choice: 'auto',
  parallel_tool_calls: true,
  reasoning: { effort: 'medium', summary: 'auto' },
  store: false,
  stream: true,
  include: ['reasoning.encrypted_content'],
  prompt_cache_key: 'k',
  text: { verbosity: 'low' },
  client_metadata: { a: 'b' },
};

describe('tools that are no functions', () => {
  test('are not shown to the model, nor in the response', async () => {
    const engine = saying('done');
    const { post } = await startTestServer(engine, { model: toolModel });
    const response = await post('/v1/responses', CODEX);
    expect(response.status).toBe(200);
    expect(engine.submitted[0]?.request.reuse).toEqual({ key: 'k', isRetained: false });
    const text = await response.text();
    const [, last = '{}'] = /^event: response\.completed\ndata: (.*)$/m.exec(text) ?? [];
    const { response: done } = JSON.parse(last) as { response: { tools: { name: string }[] } };
    // A custom tool is one whose input a grammar holds.
    expect(done.tools.map(({ name }) => name)).toEqual(['shell', 'apply_patch']);
    // One system message: templates refuse a second one.
    expect(promptOf(engine)).toBe(
      '<tools>shell;apply_patch;<system>You are a coding agent.\n\nrules<user>hi<assistant>',
    );
  });

  test('alone are no tools', async () => {
    const engine = saying('done');
    const { client } = await startTestServer(engine);
    const response = await client.responses.create({
      model: 'alias',
      input: 'x',
      tools: [{ type: 'web_search' }],
    });
    expect(response.tools).toEqual([]);
  });
});

describe('continue_final_message', () => {
  const history = [...messages, { role: 'assistant', content: ' It is 7 ' }];

  test("the answer goes on with the last message, as vLLM's", async () => {
    const engine = saying('y');
    const { post } = await startTestServer(engine);
    const ending = { add_generation_prompt: false, continue_final_message: true };
    expect((await post(CHAT, { messages: history, ...ending })).status).toBe(200);
    expect(promptOf(engine)).toBe('<user>Hi<assistant> It is 7 ');
    const answer = (await (await post('/tokenize', { messages: history, ...ending })).json()) as {
      tokens: number[];
    };
    expect(Buffer.from(answer.tokens).toString()).toBe('<user>Hi<assistant> It is 7 ');
  });

  test('add_generation_prompt: false leaves the beginning of an answer out', async () => {
    const engine = saying('y');
    const source = '{{ messages[0].content }}{% if add_generation_prompt %}<assistant>{% endif %}';
    const chatTemplate = new ChatTemplate(source, 'test', { bosToken: '', eosToken: '' });
    const { post } = await startTestServer(engine, { model: { ...byteModel, chatTemplate } });
    await post(CHAT, { messages, add_generation_prompt: false });
    expect(promptOf(engine)).toBe('Hi');
  });

  test.each<[string, object, string]>([
    ['both', { messages: history, continue_final_message: true }, 'add_generation_prompt'],
    [
      'nothing to continue',
      {
        messages: [{ role: 'user', content: ' ' }],
        add_generation_prompt: false,
        continue_final_message: true,
      },
      'continue_final_message',
    ],
  ])('%s is a 400', async (_, body, param) => {
    const server = await startTestServer(saying('y'));
    expect((await refusalOf(server, CHAT, body)).param).toBe(param);
  });
});

test('stop_reason says what has ended a text, as in vLLM', async () => {
  const engine = new ScriptedEngine(({ stopTokenIds }) => ({
    steps: [bytesOf('ab'), [stopTokenIds.at(-1) ?? 0] as never],
    finish: 'stop',
  }));
  const { post } = await startTestServer(engine);
  const reasonsOf = async (path: string, body: object): Promise<unknown> => {
    const text = await (await post(path, { messages, prompt: 'x', ...body })).text();
    const answers =
      body && 'stream' in body
        ? [...text.matchAll(/^data: (\{.*)$/gm)].map(([, of]) => of)
        : [text];
    const choices = answers.flatMap(
      (of) => (JSON.parse(of ?? '') as { choices: { stop_reason?: unknown }[] }).choices,
    );
    return choices
      .map(({ stop_reason: reason }) => reason)
      .filter((reason) => reason !== undefined);
  };
  for (const path of [CHAT, '/v1/completions']) {
    expect(await reasonsOf(path, {})).toEqual([null]);
    expect(await reasonsOf(path, { stop: ['b'] })).toEqual(['b']);
    expect(await reasonsOf(path, { stop: ['b'], stream: true })).toEqual(['b']);
    expect(await reasonsOf(path, { stop_token_ids: [99] })).toEqual([99]);
    expect(await reasonsOf(path, { stop_token_ids: [99], stream: true })).toEqual([99]);
  }
});

test('system_fingerprint is the same in all answers of a server, and another with another model', async () => {
  const { client } = await startTestServer(saying('x'));
  const request = { model: 'alias', messages: [{ role: 'user' as const, content: 'Hi' }] };
  const { system_fingerprint: chat } = await client.chat.completions.create(request);
  const completion = await client.completions.create({ model: 'alias', prompt: 'x' });
  expect(chat).toMatch(/^fp_[\da-f]{10}$/);
  expect(completion.system_fingerprint).toBe(chat);
  for await (const chunk of await client.chat.completions.create({ ...request, stream: true })) {
    expect(chunk.system_fingerprint).toBe(chat);
  }
  const other = await startTestServer(saying('x'), {
    model: { ...toolModel, names: ['alias'] },
  });
  expect((await other.client.chat.completions.create(request)).system_fingerprint).not.toBe(chat);
});

describe('messages say what is wrong', () => {
  test.each<[string, string, unknown, string]>([
    [
      'too many texts',
      '/v1/completions',
      { prompt: Array.from({ length: 10_000 }, () => 'a') },
      'prompt must not have more than 2048 items',
    ],
    [
      'too many lists',
      '/v1/completions',
      { prompt: Array.from({ length: 10_000 }, () => [1]) },
      'prompt must not have more than 2048 items',
    ],
    [
      'too many inputs',
      '/v1/embeddings',
      { input: Array.from({ length: 2049 }, () => 'a') },
      'input must not have more than 2048 items',
    ],
    ['a number among texts', '/v1/completions', { prompt: ['a', 3] }, 'prompt[1] must be string'],
    [
      '__proto__',
      CHAT,
      '{"messages": [], "__proto__": {}}',
      'the body has a key __proto__, which is not allowed',
    ],
    [
      'constructor',
      CHAT,
      '{"a": [{"constructor": {"prototype": 1}}]}',
      'the body has a key constructor, which is not allowed',
    ],
    ['no JSON', CHAT, '{"__proto__": ', 'the body is not valid JSON'],
    ['neither', '/tokenize', {}, 'missing required field prompt or messages'],
  ])('%s', async (_, path, body, message) => {
    const server = await startTestServer(saying('x'));
    expect((await refusalOf(server, path, body)).message).toBe(message);
  });
});

test('a route that is not there is no id of a response', async () => {
  const { post } = await startTestServer(saying('x'));
  const response = await post('/v1/responses/compact', { input: 'x' });
  expect([response.status, await response.json()]).toMatchObject([
    404,
    { error: { message: 'no such route: POST /v1/responses/compact' } },
  ]);
});
