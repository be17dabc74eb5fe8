import { afterEach, expect, test } from 'vitest';
import type { EngineRequest } from '../../../../engine/protocol/request.js';
import type { ServedModel } from '../../../../engine/text/served-model.js';
import type { TokenId } from '../../../../scheduler/ids.js';
import { byteModel, bytesOf } from '../../../support/byte-model.js';
import { ScriptedEngine } from '../../../support/scripted-engine.js';
import { startTestServer, stopTestServers } from '../../../support/test-server.js';

afterEach(stopTestServers);

/** The byte model with some more tokens. */
function modelWith(tokens: Readonly<Record<string, number>>, template?: object): ServedModel {
  const tokenizer = {
    ...byteModel.tokenizer,
    tokenId: (text: string) => tokens[text] as TokenId | undefined,
  };
  return { ...byteModel, ...template, tokenizer };
}

async function start(model = byteModel, settings = {}) {
  const requests: EngineRequest[] = [];
  const engine = new ScriptedEngine((request) => {
    requests.push(request);
    return { steps: [bytesOf('ok')], finish: 'stop' };
  });
  const server = await startTestServer(engine, { model, settings });
  const ask = async (path: string, body: object) => {
    const response = await server.post(`/v1/${path}`, body);
    const answer = (await response.json()) as { error?: { message: string; param: string } };
    return { status: response.status, error: answer.error, request: requests.at(-1) };
  };
  return { ask };
}

const text = (ids: readonly number[] = []): string => Buffer.from(ids).toString();

test('truncate_prompt_tokens keeps the last tokens of each prompt', async () => {
  const { ask } = await start();
  const body = { prompt: 'abcdef', truncate_prompt_tokens: 3 };
  expect(text((await ask('completions', body)).request?.promptTokenIds)).toBe('def');
  const whole = { ...body, truncate_prompt_tokens: -1 };
  expect(text((await ask('completions', whole)).request?.promptTokenIds)).toBe('abcdef');
  const messages = [{ role: 'user', content: 'abc' }];
  const chat = await ask('chat/completions', { messages, truncate_prompt_tokens: 11 });
  expect(text(chat.request?.promptTokenIds)).toBe('<assistant>');
});

test('a prompt of any length is cut to the context, where it is asked for', async () => {
  const { ask } = await start();
  const prompt = 'x'.repeat(200_000);
  expect((await ask('completions', { prompt, max_tokens: 1 })).status).toBe(400);
  const cut = await ask('completions', { prompt, max_tokens: 1, truncate_prompt_tokens: -1 });
  expect(cut.status).toBe(200);
  const none = await ask('completions', { prompt, truncate_prompt_tokens: 0 });
  expect(none.error).toMatchObject({ param: 'truncate_prompt_tokens' });
});

test.each([
  [{ '<|fim_prefix|>': 1, '<|fim_suffix|>': 2, '<|fim_middle|>': 3 }, [1, 97, 2, 98, 3]],
  [{ '▁<PRE>': 1, '▁<SUF>': 2, '▁<MID>': 3 }, [1, 97, 2, 98, 3]],
  [{ '[PREFIX]': 1, '[SUFFIX]': 2 }, [2, 98, 1, 97]],
])('suffix asks for what is between, by %j', async (tokens, prompt) => {
  const { ask } = await start(modelWith({ ...tokens, '<|fim_pad|>': 7 }));
  const { request } = await ask('completions', { prompt: 'a', suffix: 'b' });
  expect(request?.promptTokenIds).toEqual(prompt);
  expect(request?.stopTokenIds).toContain(7);
  const plain = await ask('completions', { prompt: 'a', suffix: '' });
  expect(plain.request?.promptTokenIds).toEqual([97]);
  const echoed = await ask('completions', { prompt: 'a', suffix: 'b', echo: true });
  expect(echoed.error?.message).toBe('echo is not possible with suffix');
});

test('suffix needs a model with such tokens', async () => {
  const { ask } = await start();
  expect((await ask('completions', { prompt: 'a', suffix: 'b' })).error).toMatchObject({
    message: 'suffix: the model has no tokens for filling a gap (fill in the middle)',
    param: 'suffix',
  });
});

test('thinking_token_budget reaches the engine, for models whose reasoning is read', async () => {
  const messages = [{ role: 'user', content: 'a' }];
  const { ask } = await start(byteModel, { reasoningParser: 'think' });
  const body = { messages, thinking_token_budget: 5 };
  expect((await ask('chat/completions', body)).request?.thinking).toEqual({
    budget: 5,
    open: bytesOf('<think>'),
    close: bytesOf('</think>'),
    closing: bytesOf('\n</think>'),
    isOpen: false,
  });
  const any = await ask('chat/completions', { messages, thinking_token_budget: -1 });
  expect(any.request?.thinking).toBeUndefined();
  const without = await start();
  expect((await without.ask('chat/completions', body)).error).toMatchObject({
    message: 'thinking_token_budget: needs a model whose reasoning is read (--reasoning-parser)',
    param: 'thinking_token_budget',
  });
});
