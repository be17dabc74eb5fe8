import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type ServedTiny, serveTiny } from '../../../support/served-tiny.js';

let server: ServedTiny;
beforeAll(async () => {
  server = await serveTiny({ trustRequestChatTemplate: true });
});
afterAll(() => server.stop());

const model = 'octavo-tiny';
const messages = [{ role: 'user' as const, content: 'Hello' }];
const chat_template =
  '{% for m in messages %}Question: {{ m.content }}\n{% endfor %}{{ suffix }}{% if add_generation_prompt %}Answer:{% endif %}';
const PROMPT = 'Question: Hello\nAnswer:';
const COMMON = { model, temperature: 0 };

async function tokensOf(body: object): Promise<number[]> {
  const response = await server.post('/tokenize', body);
  expect(response.status).toBe(200);
  return ((await response.json()) as { tokens: number[] }).tokens;
}

describe('the template of a request writes its prompt', () => {
  test('in a chat, whole and streamed, as a completion of its text', async () => {
    const plain = { ...COMMON, prompt: PROMPT, max_tokens: 8, add_special_tokens: false };
    const expected = (await server.client.completions.create(plain)).choices[0].text;
    const asked = { ...COMMON, messages, max_tokens: 8, chat_template, return_token_ids: true };
    const whole = await server.client.chat.completions.create(asked);
    const ids = await tokensOf({ prompt: PROMPT, add_special_tokens: false });
    expect(whole).toMatchObject({ prompt_token_ids: ids });
    expect(whole.choices[0].message.content).toBe(expected);
    let text = '';
    for await (const { choices } of await server.client.chat.completions.create({
      ...asked,
      stream: true,
    })) {
      text += choices[0]?.delta.content ?? '';
    }
    expect(text).toBe(whole.choices[0].message.content);
  });

  test('with variables of its own, and by what the prompt ends with', async () => {
    const asked = { messages, chat_template, add_generation_prompt: false };
    expect(await tokensOf({ ...asked, chat_template_kwargs: { suffix: 'X' } })).toEqual(
      await tokensOf({ prompt: 'Question: Hello\nX', add_special_tokens: false }),
    );
  });

  test('in responses', async () => {
    const asked = { ...COMMON, input: 'Hello', max_output_tokens: 4, chat_template };
    const whole = await server.client.responses.create(asked);
    const ids = await tokensOf({ prompt: PROMPT, add_special_tokens: false });
    expect(whole.usage?.input_tokens).toBe(ids.length);
    const { input_tokens: counted } = await server.client.responses.inputTokens.count(asked);
    expect(counted).toBe(ids.length);
  });

  test('null is no template', async () => {
    expect(await tokensOf({ messages, chat_template: null })).toEqual(await tokensOf({ messages }));
  });
});

const ROUTES: [string, object][] = [
  ['/v1/chat/completions', { messages }],
  ['/v1/responses', { input: 'Hello' }],
  ['/tokenize', { messages }],
];

describe.each(ROUTES)('%s', (path, body) => {
  test.each<[string, unknown, RegExp]>([
    ['does not parse', 'a\n{% if %}', /^chat_template does not parse: line 2: /],
    ['cannot be run', '{{ nothing.at.all() }}', /^the request's chat template cannot write/],
    ['is empty', '', /empty/],
    ['is no text', 7, /string/],
    ['is too long', 'a'.repeat(131_073), /131072/],
  ])('a template that %s is a 400', async (_, template, message) => {
    const response = await server.post(path, { ...body, chat_template: template });
    expect(response.status).toBe(400);
    const { error } = (await response.json()) as { error: { param: string; message: string } };
    expect(error.param).toBe('chat_template');
    expect(error.message).toMatch(message);
  });
});

describe('a server that does not trust them', () => {
  let other: ServedTiny;
  beforeAll(async () => {
    other = await serveTiny();
  });
  afterAll(() => other.stop());

  test.each(ROUTES)('%s refuses any, and names the flag', async (path, body) => {
    const response = await other.post(path, { ...body, chat_template });
    expect(response.status).toBe(400);
    const { error } = (await response.json()) as { error: { param: string; message: string } };
    expect(error.param).toBe('chat_template');
    expect(error.message).toContain('--trust-request-chat-template');
  });
});
