import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type ServedTiny, serveTiny } from '../../../support/served-tiny.js';

let server: ServedTiny;
beforeAll(async () => {
  server = await serveTiny();
});
afterAll(() => server.stop());

const model = 'octavo-tiny';
const messages = [{ role: 'user' as const, content: 'What is the capital of France?' }];
const SCHEMA = {
  type: 'object',
  properties: { city: { enum: ['Paris', 'Rome'] } },
  required: ['city'],
  additionalProperties: false,
};
const TAG = {
  type: 'tag',
  begin: '<answer=city>',
  content: { type: 'json_schema', json_schema: SCHEMA },
  end: '</answer>',
};
/** A tag at once, so that the model must write one; then what it will. */
const FORMAT = {
  type: 'triggered_tags',
  triggers: ['<answer='],
  tags: [TAG],
  at_least_one: true,
};
const STRUCTURAL = { type: 'structural_tag', format: FORMAT };
const OLDER = {
  type: 'structural_tag',
  structures: [{ begin: TAG.begin, schema: SCHEMA, end: TAG.end }],
  triggers: FORMAT.triggers,
};
const TAGGED = /^<answer=city>\{\s*"city":\s*"(Paris|Rome)"\s*\}<\/answer>/;

interface Asked {
  readonly response_format?: object;
  readonly structured_outputs?: object;
}

/** The client's types know OpenAI's formats only. */
async function chat(more: Asked): Promise<{ whole: string; streamed: string }> {
  const body = { model, messages, temperature: 0, max_tokens: 40, ...more } as never;
  const request = body as Parameters<typeof server.client.chat.completions.create>[0];
  const answer = await server.client.chat.completions.create({ ...request, stream: false });
  let streamed = '';
  for await (const { choices } of await server.client.chat.completions.create({
    ...request,
    stream: true,
  })) {
    streamed += choices[0]?.delta.content ?? '';
  }
  return { whole: answer.choices[0].message.content ?? '', streamed };
}

describe('a structural tag', () => {
  test.each<[string, Asked]>([
    ['as a response format', { response_format: STRUCTURAL }],
    [
      'as structured output',
      { structured_outputs: { structural_tag: JSON.stringify(STRUCTURAL) } },
    ],
    [
      'as an object, compact',
      { structured_outputs: { structural_tag: STRUCTURAL, disable_any_whitespace: true } },
    ],
  ])('holds the text of a chat %s', async (_, asked) => {
    const { whole, streamed } = await chat(asked);
    expect(whole).toMatch(TAGGED);
    expect(streamed).toBe(whole);
    if (asked.structured_outputs && 'disable_any_whitespace' in asked.structured_outputs) {
      expect(whole).toMatch(/^<answer=city>\{"city":"(Paris|Rome)"\}/);
    }
  });

  test('leaves a text free in which no trigger comes', async () => {
    const body = { model, messages, temperature: 0, max_tokens: 20 };
    const plain = await server.client.chat.completions.create(body);
    const { whole, streamed } = await chat({ response_format: OLDER });
    expect(whole).toBe(plain.choices[0].message.content);
    expect(streamed).toBe(whole);
  });

  test('holds a text behind its trigger, which the prompt made the model write', async () => {
    // The first token is that of the trigger's first character, or of more of it.
    const asked = { prompt: 'x', max_tokens: 12, temperature: 1, n: 2, seed: 5 };
    const format = {
      type: 'sequence',
      elements: [
        { type: 'const_string', value: 'So <' },
        { ...FORMAT, at_least_one: false },
      ],
    };
    const structured_outputs = { structural_tag: { type: 'structural_tag', format } };
    const body = { model, ...asked, structured_outputs };
    const { choices } = await server.client.completions.create(body);
    for (const { text } of choices) {
      expect(text.startsWith('So <')).toBe(true);
      const tag = text.indexOf('<answer=', 4);
      if (tag >= 0)
        expect(TAG.begin.startsWith(text.slice(tag, tag + TAG.begin.length))).toBe(true);
    }
  });

  test('holds completions and responses', async () => {
    const structured_outputs = { structural_tag: STRUCTURAL, disable_any_whitespace: true };
    const asked = { model, temperature: 0, structured_outputs };
    const completion = { ...asked, prompt: 'The', max_tokens: 40 };
    expect((await server.client.completions.create(completion)).choices[0].text).toMatch(TAGGED);
    const response = { ...asked, input: 'Hello', max_output_tokens: 40 };
    expect((await server.client.responses.create(response)).output_text).toMatch(TAGGED);
  });

  test('beside tools says alone where calls may stand, which are read', async () => {
    const tool = { type: 'function', function: { name: 'city_of', parameters: SCHEMA } };
    const call = {
      type: 'tag',
      begin: '<tool_call>\n{"name": "city_of", "arguments": ',
      content: { type: 'json_schema', json_schema: SCHEMA },
      end: '}\n</tool_call>',
    };
    const body = { messages, temperature: 0, tools: [tool], max_tokens: 60 };
    const format = { type: 'structural_tag', format: call };
    const answer = await server.post('/v1/chat/completions', { ...body, response_format: format });
    const { choices } = (await answer.json()) as {
      choices: { message: { tool_calls?: { function: { arguments: string } }[] } }[];
    };
    const [{ function: called }] = choices[0].message.tool_calls ?? [];
    expect(JSON.parse(called.arguments)).toMatchObject({
      city: expect.stringMatching(/Paris|Rome/) as string,
    });
    const strict = { ...tool, function: { ...tool.function, strict: true } };
    const refused = await server.post('/v1/chat/completions', {
      ...body,
      tools: [strict],
      response_format: format,
    });
    expect(await refused.json()).toMatchObject({ error: { param: 'tools' } });
  });
});

describe.each([
  ['/v1/chat/completions', { messages }],
  ['/v1/completions', { prompt: 'a' }],
])('%s', (path, prompt) => {
  const withSchema = (schema: object): object => ({
    ...FORMAT,
    tags: [{ ...TAG, content: { type: 'json_schema', json_schema: schema } }],
  });

  test.each<[string, object, string, RegExp]>([
    ['a format that is none', { type: 'structural_tag' }, 'response_format.format', /is missing/],
    [
      'an unknown format',
      { type: 'structural_tag', format: { type: 'x' } },
      'response_format.format.type',
      /must be one of/,
    ],
    [
      'a schema that cannot be enforced',
      { type: 'structural_tag', format: withSchema({ not: {} }) },
      'response_format',
      /not/,
    ],
    [
      'a grammar with an error',
      { type: 'structural_tag', format: { type: 'grammar', grammar: 'root ::= x' } },
      'response_format',
      /x is not defined/,
    ],
    ['a type that is none', { type: 'xml' }, 'response_format.type', /structural_tag/],
  ])('refuses %s', async (_, response_format, param, problem) => {
    const response = await server.post(path, { ...prompt, response_format });
    expect(response.status).toBe(400);
    const { error } = (await response.json()) as { error: { param: string; message: string } };
    expect(error.param).toBe(param);
    expect(error.message).toMatch(problem);
  });

  test('refuses it beside another form', async () => {
    const fields = { response_format: STRUCTURAL, guided_regex: 'a' };
    const response = await server.post(path, { ...prompt, ...fields });
    expect(await response.json()).toMatchObject({ error: { param: 'guided_regex' } });
  });
});
