import type OpenAI from 'openai';
import { afterEach, expect, test } from 'vitest';
import type { GrammarSpec } from '../../../../engine/protocol/request.js';
import type { ServedModel } from '../../../../engine/text/served-model.js';
import { bytesOf, EOS } from '../../../support/byte-model.js';
import { languageOf } from '../../../support/grammar-language.js';
import { ScriptedEngine } from '../../../support/scripted-engine.js';
import { startTestServer, stopTestServers } from '../../../support/test-server.js';
import { toolModel } from '../../../support/tool-model.js';

afterEach(stopTestServers);

const MODEL = 'byte-model';

const saying = (...texts: (readonly string[])[]): ScriptedEngine => {
  let next = 0;
  return new ScriptedEngine(
    () => ({ steps: [...(texts[next++] ?? []).map(bytesOf), [EOS]], finish: 'stop' }),
    { maxModelLength: 1024 },
  );
};

const RUN: OpenAI.Responses.CustomTool = { type: 'custom', name: 'run', description: 'Runs code' };

const LARK: OpenAI.Responses.CustomTool = {
  ...RUN,
  format: { type: 'grammar', syntax: 'lark', definition: 'start: "a"' },
};

const CALL = [
  '<tool_call>\n{"name": "run", "arguments": {"inp',
  'ut": "print(\\"',
  'hi\\")\\n"}}\n</tool_call>',
];

test('a call has a text, and its output continues the response', async () => {
  const engine = saying(CALL, ['Done.']);
  const { client } = await startTestServer(engine, { model: toolModel });
  const first = await client.responses.create({ model: MODEL, input: 'Run', tools: [RUN] });
  expect(first.tools).toEqual([{ ...RUN, format: { type: 'text' } }]);
  expect(first.output).toMatchObject([
    {
      type: 'custom_tool_call',
      status: 'completed',
      id: expect.stringMatching(/^ctc_/) as string,
      name: 'run',
      input: 'print("hi")\n',
    },
  ]);
  const call = first.output[0] as OpenAI.Responses.ResponseCustomToolCall;
  const result = { type: 'custom_tool_call_output', call_id: call.call_id, output: 'hi' } as const;
  const second = await client.responses.create({
    model: MODEL,
    previous_response_id: first.id,
    input: [result],
  });
  expect(second.output_text).toBe('Done.');
  // All of it sent again is the same prompt.
  const input = [{ role: 'user' as const, content: 'Run' }, call, result];
  await client.responses.create({ model: MODEL, input });
  const prompts = engine.submitted.map(({ request }) =>
    Buffer.from(request.promptTokenIds).toString(),
  );
  expect(prompts).toEqual([
    '<tools>run;<user>Run<assistant>',
    ...Array.from(
      { length: 2 },
      () =>
        '<user>Run<assistant><tool_call>run{"input": "print(\\"hi\\")\\n"}<tool run>hi<assistant>',
    ),
  ]);
});

test('streamed: the text as it comes', async () => {
  const { client } = await startTestServer(saying(CALL), { model: toolModel });
  const stream = await client.responses.create({
    model: MODEL,
    input: 'x',
    tools: [RUN],
    stream: true,
  });
  const events: OpenAI.Responses.ResponseStreamEvent[] = [];
  for await (const event of stream) events.push(event);
  expect(events.map(({ type }) => type)).toEqual([
    'response.created',
    'response.in_progress',
    'response.output_item.added',
    'response.custom_tool_call_input.delta',
    'response.custom_tool_call_input.delta',
    'response.custom_tool_call_input.done',
    'response.output_item.done',
    'response.completed',
  ]);
  expect(events[2]).toMatchObject({ item: { type: 'custom_tool_call', name: 'run', input: '' } });
  expect(events[5]).toMatchObject({ input: 'print("hi")\n', output_index: 0 });
});

test('a grammar of syntax regex is enforced, also where the model may choose not to call', async () => {
  const engine = saying(CALL);
  const { client } = await startTestServer(engine, { model: toolModel });
  const format = { type: 'grammar', syntax: 'regex', definition: 'ls|pwd' } as const;
  const response = await client.responses.create({
    model: MODEL,
    input: 'x',
    tools: [{ ...RUN, format }],
  });
  expect(response.tools).toEqual([{ ...RUN, format }]);
  expect(JSON.stringify(engine.submitted[0]?.request.grammar)).toContain('^(?:ls|pwd)$');
});

/** It marks calls by a special token, which no grammar chooses. */
const marking: ServedModel = {
  ...toolModel,
  tokenizer: {
    ...toolModel.tokenizer,
    tokenId: (token) => (token === '<tool_call>' ? EOS : undefined),
  },
};

test('a lark grammar is enforced, in all forms of calls that are held', async () => {
  const engine = saying(CALL, CALL);
  const { client } = await startTestServer(engine, { model: toolModel });
  for (const tool_choice of ['auto', 'required'] as const) {
    const asked = { model: MODEL, input: 'x', tools: [LARK], tool_choice };
    const { tools, output } = await client.responses.create(asked);
    expect(tools).toEqual([LARK]);
    expect(output).toMatchObject([{ type: 'custom_tool_call', input: 'print("hi")\n' }]);
  }
  for (const { request } of engine.submitted) {
    const accepts = await languageOf(request.grammar as GrammarSpec);
    const call = (input: string): string =>
      `<tool_call>\n{"name": "run", "arguments": {"input": "${input}"}}\n</tool_call>`;
    expect(await accepts(call('a'))).toBe(true);
    expect(await accepts(call('b'))).toBe(false);
    expect(await accepts('text')).toBe(request === engine.submitted[0]?.request);
  }
});

test('a call of a lark grammar may be forced where a special token begins it', async () => {
  const engine = saying(['{"name": "run", "arguments": {"input": "a"}}\n</tool_call>']);
  const { client } = await startTestServer(engine, { model: marking });
  const { output } = await client.responses.create({
    model: MODEL,
    input: 'x',
    tools: [LARK],
    tool_choice: { type: 'custom', name: 'run' },
  });
  expect(output).toMatchObject([{ type: 'custom_tool_call', input: 'a' }]);
  expect(JSON.stringify(engine.submitted[0]?.request.grammar)).toContain('"lark"');
});

test('with a lark grammar it is not shown where that cannot be held: Codex offers one', async () => {
  const engine = saying(['Hi']);
  const { client } = await startTestServer(engine, { model: marking });
  const { tools } = await client.responses.create({ model: MODEL, input: 'x', tools: [LARK] });
  expect(tools).toEqual([]);
  expect(Buffer.from(engine.submitted[0]?.request.promptTokenIds ?? []).toString()).toBe(
    '<user>x<assistant>',
  );
});

test('a choice may name it', async () => {
  const engine = saying(CALL, CALL);
  const { client } = await startTestServer(engine, { model: toolModel });
  const named = { type: 'custom', name: 'run' } as const;
  for (const tool_choice of [
    named,
    { type: 'allowed_tools' as const, mode: 'required' as const, tools: [named] },
  ]) {
    const { output } = await client.responses.create({
      model: MODEL,
      input: 'x',
      tools: [RUN],
      tool_choice,
    });
    expect(output).toMatchObject([{ type: 'custom_tool_call' }]);
  }
});

test.each([
  [
    'a lark grammar that is none',
    { tools: [{ ...LARK, format: { ...LARK.format, definition: 'start: "a"\n  b' } }] },
    'tools',
  ],
  [
    'no kind of grammar',
    { tools: [{ ...RUN, format: { type: 'grammar', syntax: 'abnf', definition: 'a' } }] },
    'tools[0].format.syntax',
  ],
  ['no name', { tools: [{ type: 'custom' }] }, 'tools[0].name'],
  [
    'a pattern that is none',
    { tools: [{ ...RUN, format: { type: 'grammar', syntax: 'regex', definition: '(' } }] },
    'tools',
  ],
  [
    'an output without its call',
    { input: [{ type: 'custom_tool_call_output', call_id: 'c', output: '' }] },
    'input',
  ],
])('%s is a 400', async (_, fields, param) => {
  const { post } = await startTestServer(saying(['x']), { model: toolModel });
  const response = await post('/v1/responses', { input: 'x', ...fields });
  expect([response.status, await response.json()]).toMatchObject([400, { error: { param } }]);
});

test('a lark grammar among the allowed is a 400 where it cannot be held', async () => {
  const { post } = await startTestServer(saying(['x']), { model: marking });
  const tools = [{ type: 'custom', name: 'run' }];
  const tool_choice = { type: 'allowed_tools', mode: 'auto', tools };
  const response = await post('/v1/responses', { input: 'x', tools: [LARK], tool_choice });
  expect(await response.json()).toMatchObject({ error: { param: 'tool_choice.tools[0].name' } });
});

test('the line of a lark grammar that cannot be taken is named', async () => {
  const { post } = await startTestServer(saying(['x']), { model: toolModel });
  const format = { type: 'grammar', syntax: 'lark', definition: 'start: a\na: /(?=b)/' };
  const response = await post('/v1/responses', { input: 'x', tools: [{ ...RUN, format }] });
  const { error } = (await response.json()) as { error: { message: string } };
  expect(error.message).toMatch(/^the custom tool run: grammar: look-around .*\(line 2\)$/);
});

test('a form of calls that is no JSON holds the text itself', async () => {
  const written =
    '<tool_call>\n<function=run>\n<parameter=input>\na\n</parameter>\n</function>\n</tool_call>';
  const engine = saying([written]);
  const settings = { toolCallParser: 'qwen3_coder' as const };
  const { client } = await startTestServer(engine, { model: toolModel, settings });
  const { output } = await client.responses.create({ model: MODEL, input: 'x', tools: [LARK] });
  expect(output).toMatchObject([{ type: 'custom_tool_call', input: 'a' }]);
  const accepts = await languageOf(engine.submitted[0]?.request.grammar as GrammarSpec);
  expect(await accepts(written)).toBe(true);
  expect(await accepts(written.replace('\na\n', '\nb\n'))).toBe(false);
});
