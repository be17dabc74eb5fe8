import { afterEach, describe, expect, test } from 'vitest';
import { loadTokenizer } from '../../../engine/text/hf-tokenizer.js';
import { byteModel, bytesOf, EOS } from '../../support/byte-model.js';
import { ScriptedEngine } from '../../support/scripted-engine.js';
import { startTestServer, stopTestServers } from '../../support/test-server.js';
import { fallbackTokenizer, writeModelDir } from '../../support/tiny-tokenizers.js';

afterEach(stopTestServers);

interface Ids {
  readonly index: number;
  readonly token_ids?: number[];
  readonly prompt_token_ids?: number[];
}

interface Answer {
  readonly prompt_token_ids?: number[];
  readonly choices: readonly Ids[];
}

const CHAT = '/v1/chat/completions';
const messages = [{ role: 'user', content: 'Hi' }];
const chatPrompt = bytesOf('<user>Hi<assistant>');
const chunksOf = async (response: Response): Promise<Answer[]> =>
  [...(await response.text()).matchAll(/^data: (\{.*)$/gm)].map(
    ([, json = '']) => JSON.parse(json) as Answer,
  );

describe('return_token_ids', () => {
  const saying = (): ScriptedEngine =>
    new ScriptedEngine(() => ({
      steps: [...bytesOf('aé, END'), 66, EOS].map((id) => [id]),
      finish: 'stop',
    }));
  /** Up to the token that completes the stop string. */
  const generated = bytesOf('aé, END');
  const fields = { stop: 'END', n: 2, return_token_ids: true };

  test('shows what a chat has been computed from and to', async () => {
    const { post } = await startTestServer(saying());
    const whole = (await (await post(CHAT, { messages, ...fields })).json()) as Answer;
    expect(whole.prompt_token_ids).toEqual(chatPrompt);
    expect(whole.choices.map((choice) => choice.token_ids)).toEqual([generated, generated]);
    const chunks = await chunksOf(await post(CHAT, { messages, ...fields, stream: true }));
    const openings = chunks.filter((chunk) => chunk.prompt_token_ids !== undefined);
    expect(openings).toEqual(chunks.slice(0, 2));
    expect(openings[0]?.prompt_token_ids).toEqual(chatPrompt);
    const choices = chunks.flatMap((chunk) => chunk.choices);
    for (const index of [0, 1]) {
      const own = choices.filter((choice) => choice.index === index);
      expect(own.flatMap((choice) => choice.token_ids ?? [])).toEqual(generated);
    }
  });

  test.each([false, true])('and a completion (echo: %s)', async (echo) => {
    const { post } = await startTestServer(saying());
    const body = { ...fields, prompt: ['x', 'yz'], echo };
    const prompts = ['x', 'x', 'yz', 'yz'].map(bytesOf);
    const { choices } = (await (await post('/v1/completions', body)).json()) as Answer;
    expect(choices.map((choice) => choice.prompt_token_ids)).toEqual(prompts);
    expect(choices.map((choice) => choice.token_ids)).toEqual([1, 2, 3, 4].map(() => generated));
    const chunks = await chunksOf(await post('/v1/completions', { ...body, stream: true }));
    const parts = chunks.flatMap((chunk) => chunk.choices);
    for (const [index, expected] of prompts.entries()) {
      const own = parts.filter((choice) => choice.index === index);
      expect(own.flatMap((choice) => choice.prompt_token_ids ?? [])).toEqual(expected);
      expect(own[0]?.prompt_token_ids).toEqual(expected);
      expect(own.flatMap((choice) => choice.token_ids ?? [])).toEqual(generated);
    }
  });

  test('nothing of it without the field', async () => {
    const { post } = await startTestServer(saying());
    for (const [path, body] of [
      [CHAT, { messages }],
      ['/v1/completions', { prompt: 'x' }],
    ] as const) {
      expect(await (await post(path, body)).text()).not.toContain('token_ids');
      expect(await (await post(path, { ...body, stream: true })).text()).not.toContain('token_ids');
    }
  });
});

test('a completion goes on behind its prompt, an answer begins a text', async () => {
  const config = { tokenizer_class: 'PreTrainedTokenizerFast' };
  const tokenizer = await loadTokenizer(
    await writeModelDir({
      'tokenizer.json': fallbackTokenizer(),
      'tokenizer_config.json': config,
    }),
  );
  const [one, two] = [259, 260];
  const engine = new ScriptedEngine(() => ({ steps: [[two]], finish: 'length' }));
  const { client } = await startTestServer(engine, { model: { ...byteModel, tokenizer } });
  const prompt: number[] = [one];
  const model = 'byte-model';
  const completion = await client.completions.create({ model, prompt, echo: true, logprobs: 0 });
  expect(completion.choices[0]).toMatchObject({
    text: 'one two',
    logprobs: { tokens: [' one', ' two'], text_offset: [0, 3] },
  });
  const chat = await client.chat.completions.create({
    model,
    messages: [{ role: 'user', content: 'a' }],
  });
  expect(chat.choices[0]?.message.content).toBe('two');
});
