import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { MessageOptions } from '../../../engine/generation/chat-messages.js';
import { type Message } from '../../../engine/generation/message.js';
import { InlinePrompts } from '../../../engine/generation/prompts/prompt-maker.js';
import {
  PROMPT_DEFAULTS,
  PromptThreads,
} from '../../../engine/generation/prompts/prompt-threads.js';
import { ChatTemplate } from '../../../engine/text/chat-template.js';
import { loadServedModel, type ServedModel } from '../../../engine/text/served-model.js';

const path = (relative: string): string => fileURLToPath(new URL(relative, import.meta.url));
const TINY = path('../../../models/octavo-tiny');
const QWEN = path('../../fixtures/chat-templates/templates/qwen3.jinja');

const asker = { client: 'a', signal: new AbortController().signal };
const conversation = (length: number): Message[] =>
  Array.from({ length }, (_, i) => ({
    role: i % 2 === 0 ? 'user' : 'assistant',
    content: i % 3 === 0 ? `<|end|> ${i}` : `Once <think>upon</think> a time, ${i}.`,
  }));
const tool = {
  type: 'function',
  function: { name: 'f', parameters: { type: 'object', properties: { city: { type: 'string' } } } },
};

let tiny: ServedModel;
let qwen: ServedModel;
let threads: PromptThreads;
beforeAll(async () => {
  tiny = await loadServedModel(TINY, []);
  qwen = await loadServedModel(TINY, [], { chatTemplate: QWEN });
  threads = new PromptThreads(qwen, TINY);
});
afterAll(() => threads.close());

describe('PromptThreads', () => {
  test('a small conversation and a short text need no thread', async () => {
    const own = new PromptThreads(tiny, TINY);
    const prompt = await own.render(conversation(20), { tools: [tool] }, asker);
    expect(prompt).toEqual(
      await new InlinePrompts(tiny).render(conversation(20), { tools: [tool] }),
    );
    const ids = await own.encode(prompt, { addSpecialTokens: false, param: 'messages' }, asker);
    expect(tiny.tokenizer.decode(ids, { skipSpecialTokens: false })).toBe(prompt.text);
    expect(own.threads).toBe(0);
    await own.close();
  });

  test.each<[string, Message[], MessageOptions]>([
    ['many messages', conversation(1001), {}],
    ['one long message', [{ role: 'user', content: '<|im_end|>word '.repeat(20_000) }], {}],
    ['many tools', conversation(1), { tools: Array.from({ length: 100 }, () => tool) }],
    ['variables', conversation(301), { variables: { enable_thinking: false } }],
    ['no answer', conversation(301), { addGenerationPrompt: false }],
    [
      'an end to go on from',
      [...conversation(301), { role: 'assistant', content: 'It is' }],
      { addGenerationPrompt: false, continuesFinal: true },
    ],
  ])(
    '%s: a thread writes what this one would, and finds the same tokens',
    async (_name, messages, options) => {
      const inline = new InlinePrompts(qwen);
      const prompt = await threads.render(messages, options, asker);
      expect(threads.threads).toBe(1);
      expect(prompt).toEqual(await inline.render(messages, options));
      const encoding = { addSpecialTokens: true, param: 'messages' };
      expect(await threads.encode(prompt, encoding, asker)).toEqual(
        await inline.encode(prompt, encoding),
      );
    },
  );

  test('guards texts of clients from control tokens, and no others', async () => {
    const text = '<|end|> and '.repeat(1000);
    const encoding = { addSpecialTokens: false, param: 'prompt' };
    const end = tiny.tokenizer.tokenId('<|end|>');
    const written = await threads.encode({ text, client: [] }, encoding, asker);
    expect(written.filter((id) => id === end)).toHaveLength(1000);
    const client = [{ start: 0, end: text.length }];
    const guarded = await threads.encode({ text, client }, encoding, asker);
    expect(guarded.filter((id) => id === end)).toEqual([]);
  });

  test("a template's errors are the same from a thread", async () => {
    const template = "{{ raise_exception('no such turn') }}";
    const tokens = { bosToken: '', eosToken: '' };
    const model = { ...tiny, chatTemplate: new ChatTemplate(template, 'a file', tokens) };
    const own = new PromptThreads(model, TINY);
    for (const length of [1, 1000]) {
      await expect(own.render(conversation(length), {}, asker)).rejects.toMatchObject({
        kind: 'invalid_request',
        param: 'messages',
        message: "the model's chat template refuses the messages: no such turn",
      });
    }
    expect(own.threads).toBe(1);
    await own.close();
    const none = new PromptThreads({ ...tiny, chatTemplate: null }, TINY);
    await expect(none.render(conversation(1000), {}, asker)).rejects.toThrow(
      'the model has no chat template',
    );
  });

  test('what takes too long is refused, and says what is long; the next is made', async () => {
    const template = readFileSync(QWEN, 'utf8');
    const endless = `{%- if messages | length > 2000 %}{% for a in range(100000) %}{% for b in range(1000) %}{{ a * b }}{% endfor %}{% endfor %}{% endif -%}${template}`;
    const tokens = { bosToken: '', eosToken: '' };
    const model = { ...tiny, chatTemplate: new ChatTemplate(endless, 'a file', tokens) };
    const own = new PromptThreads(model, TINY, { ...PROMPT_DEFAULTS, budgetMs: 2000 });
    await expect(own.render(conversation(2001), {}, asker)).rejects.toMatchObject({
      kind: 'invalid_request',
      param: 'messages',
      message: expect.stringMatching(
        /^messages: the chat template's work takes more than 2 s: there are 2001 messages with \d+ characters$/,
      ) as string,
    });
    expect((await own.render(conversation(100), {}, asker)).text).toContain('a time, 98');
    await own.close();
  });
});
