import type OpenAI from 'openai';
import { afterEach, describe, expect, test } from 'vitest';
import type { ServedModel } from '../../../../engine/text/served-model.js';
import { byteModel, bytesOf, EOS } from '../../../support/byte-model.js';
import { languageOf } from '../../../support/grammar-language.js';
import { ScriptedEngine } from '../../../support/scripted-engine.js';
import {
  startTestServer,
  stopTestServers,
  type TestServerOptions,
} from '../../../support/test-server.js';
import { toolModel } from '../../../support/tool-model.js';

afterEach(stopTestServers);

const MODEL = 'byte-model';
const JSON_TEXT = '{"city":"Paris"}';
const CALL = '<tool_call>\n{"name": "get_time", "arguments": {}}\n</tool_call>';

const schema = {
  type: 'object',
  properties: { city: { type: 'string' } },
  required: ['city'],
  additionalProperties: false,
};
const format = { type: 'json_schema' as const, name: 'place', schema, strict: true };
const TIME: OpenAI.Responses.FunctionTool = {
  type: 'function',
  name: 'get_time',
  parameters: null,
  strict: null,
};

/** Sends a request, and says which texts the engine may answer. */
async function languageFor(
  fields: Partial<OpenAI.Responses.ResponseCreateParamsNonStreaming>,
  options: TestServerOptions = {},
): Promise<{
  response: OpenAI.Responses.Response;
  takes: (texts: readonly string[]) => Promise<boolean[]>;
}> {
  const engine = new ScriptedEngine(() => ({
    steps: [bytesOf(JSON_TEXT), [EOS]],
    finish: 'stop',
  }));
  const { client } = await startTestServer(engine, { model: toolModel, ...options });
  const response = await client.responses.create({ model: MODEL, input: 'x', ...fields });
  const grammar = engine.submitted[0]?.request.grammar;
  if (!grammar) throw new Error('the engine may answer anything');
  const language = await languageOf(grammar);
  return { response, takes: (texts) => Promise.all(texts.map(language)) };
}

describe('text.format', () => {
  test('json_schema: what fits the schema, and the client parses it', async () => {
    const { response, takes } = await languageFor({ text: { format } });
    expect(await takes([JSON_TEXT, '{"city":1}', '{}', 'Paris'])).toEqual([
      true,
      false,
      false,
      false,
    ]);
    expect(response.text?.format).toEqual(format);
    expect(JSON.parse(response.output_text)).toEqual({ city: 'Paris' });
  });

  test('json_object: any object', async () => {
    const { takes } = await languageFor({ text: { format: { type: 'json_object' } } });
    expect(await takes(['{}', JSON_TEXT, '[]', 'x'])).toEqual([true, true, false, false]);
  });

  test('json_object with a schema: what fits it', async () => {
    const cities = { type: 'object', properties: { city: { type: 'string' } } };
    const text = { format: { type: 'json_object', schema: cities } as never };
    const { takes } = await languageFor({ text });
    expect(await takes(['{}', JSON_TEXT, '{"town": "x"}'])).toEqual([true, true, false]);
    const bad = { format: { type: 'json_object', schema: { not: {} } } as never };
    await expect(languageFor({ text: bad })).rejects.toMatchObject({
      status: 400,
      param: 'text.format.schema',
    });
  });

  test('beside tools: either an answer in its form or calls', async () => {
    const { takes } = await languageFor({ text: { format }, tools: [TIME] });
    expect(await takes([JSON_TEXT, CALL, 'x', `${JSON_TEXT}${CALL}`])).toEqual([
      true,
      true,
      false,
      false,
    ]);
    const forced = await languageFor({ text: { format }, tools: [TIME], tool_choice: 'required' });
    expect(await forced.takes([JSON_TEXT, CALL])).toEqual([false, true]);
  });

  test('reasoning goes before it', async () => {
    const { takes } = await languageFor(
      { text: { format } },
      { settings: { reasoningParser: 'think' } },
    );
    const texts = [JSON_TEXT, `<think>hm</think>\n${JSON_TEXT}`, '<think>hm</think>Paris'];
    expect(await takes(texts)).toEqual([true, true, false]);
  });

  test('text is free', async () => {
    const text = { format: { type: 'text' as const } };
    await expect(languageFor({ text })).rejects.toThrow(/may answer anything/);
  });
});

/** Marks calls with special tokens, which no grammar chooses. */
const special: ServedModel = {
  ...toolModel,
  tokenizer: {
    ...byteModel.tokenizer,
    tokenId: (token) => (token === '<tool_call>' ? EOS : undefined),
    decode: (ids) =>
      ids[0] === EOS ? '' : byteModel.tokenizer.decode(ids, { skipSpecialTokens: true }),
  },
};

test.each<[string, object, string, RegExp, ServedModel?]>([
  [
    'a keyword that cannot be enforced',
    { text: { format: { ...format, schema: { not: {} } } } },
    'text.format.schema',
    /not/,
  ],
  [
    'no schema',
    { text: { format: { type: 'json_schema', name: 'x' } } },
    'text.format.schema',
    /missing/,
  ],
  ['no name', { text: { format: { type: 'json_schema', schema } } }, 'text.format.name', /missing/],
  [
    'another type',
    { text: { format: { type: 'xml' } } },
    'text.format.type',
    /text, json_object, json_schema/,
  ],
  ['special markers', { text: { format }, tools: [TIME] }, 'tools', /special tokens/, special],
])('%s is a 400', async (_, fields, param, message, model = toolModel) => {
  const engine = new ScriptedEngine(() => ({ steps: [[EOS]], finish: 'stop' }));
  const { post } = await startTestServer(engine, { model });
  const response = await post('/v1/responses', { input: 'x', ...fields });
  const { error } = (await response.json()) as { error: { message: string } };
  expect([response.status, error]).toMatchObject([400, { param }]);
  expect(error.message).toMatch(message);
});
