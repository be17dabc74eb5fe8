import { afterEach, expect, test } from 'vitest';
import { loadServedModel } from '../../../engine/text/served-model.js';
import { bytesOf } from '../../support/byte-model.js';
import { ScriptedEngine } from '../../support/scripted-engine.js';
import { startTestServer, stopTestServers } from '../../support/test-server.js';
import { toolModel, WEATHER } from '../../support/tool-model.js';

afterEach(stopTestServers);

const silent = (): ScriptedEngine =>
  new ScriptedEngine(() => ({ steps: [[65]], finish: 'length' }));

const messages = [{ role: 'user', content: 'Hi' }];

test.each<[string, object, string]>([
  ['a conversation', { messages }, '<user>Hi<assistant>'],
  ['tools', { messages, tools: [WEATHER] }, '<tools>get_weather;<user>Hi<assistant>'],
  [
    'variables',
    { messages, chat_template_kwargs: { enable_thinking: true } },
    '<user>Hi<assistant><think>\n',
  ],
])('%s', async (_, body, text) => {
  const { post } = await startTestServer(silent(), { model: toolModel });
  const answer = (await (await post('/tokenize', { model: 'alias', ...body })).json()) as object;
  expect(answer).toMatchObject({ count: text.length, tokens: bytesOf(text) });
});

test('more tools than a template shows in time', async () => {
  const { post } = await startTestServer(silent(), { model: toolModel });
  const properties = Object.fromEntries(Array.from({ length: 10_000 }, (_, i) => [`p${i}`, {}]));
  const tool = { type: 'function', function: { name: 'f', parameters: { properties } } };
  for (const [path, body] of [
    ['/tokenize', { messages, tools: [tool] }],
    ['/v1/chat/completions', { messages, tools: [tool] }],
    ['/v1/responses', { input: 'Hi', tools: [{ ...tool, ...tool.function }] }],
    ['/v1/responses/input_tokens', { input: 'Hi', tools: [{ ...tool, ...tool.function }] }],
  ] as const) {
    const response = await post(path, body);
    expect([path, response.status]).toEqual([path, 400]);
    expect(await response.text()).toContain('more than 10000 JSON values together');
  }
});

test('special tokens, generation prompt and entries of the vocabulary, as in vLLM', async () => {
  const model = await loadServedModel('models/octavo-tiny', []);
  const { post } = await startTestServer(silent(), { model });
  const stringsOf = async (body: object): Promise<string[] | null> => {
    const answer = await post('/tokenize', { return_token_strs: true, ...body });
    return ((await answer.json()) as { token_strs: string[] | null }).token_strs;
  };
  expect(await stringsOf({ prompt: 'the owl' })).toEqual(['<|bos|>', 't', 'he', 'Ġowl']);
  expect(await stringsOf({ prompt: 'the owl', add_special_tokens: false })).toEqual([
    't',
    'he',
    'Ġowl',
  ]);
  expect(await stringsOf({ prompt: 'the', return_token_strs: false })).toBeNull();
  const open = (await stringsOf({ messages })) ?? [];
  const closed = await stringsOf({ messages, add_generation_prompt: false });
  expect(open.length).toBeGreaterThan(closed?.length ?? 0);
  expect(open.slice(0, closed?.length)).toEqual(closed);
  const doubled = await stringsOf({ messages, add_special_tokens: true });
  expect(doubled?.length).toBe(open.length + 1);
});

test.each<[string, string, object, number, string]>([
  ['both', '/tokenize', { prompt: 'x', messages }, 400, 'prompt'],
  ['another model', '/tokenize', { prompt: 'x', model: 'm' }, 404, 'model'],
  ['another model', '/detokenize', { tokens: [1], model: 'm' }, 404, 'model'],
  ['a template without trust', '/tokenize', { messages, chat_template: 'x' }, 400, 'chat_template'],
  ['a negative id', '/detokenize', { tokens: [-1] }, 400, 'tokens[0]'],
])('%s: %s refuses', async (_, path, body, status, param) => {
  const { post } = await startTestServer(silent());
  const response = await post(path, body);
  expect(response.status).toBe(status);
  expect(await response.json()).toMatchObject({ error: { param } });
});
