import type OpenAI from 'openai';
import { afterEach, describe, expect, test } from 'vitest';
import { bytesOf, EOS } from '../../../support/byte-model.js';
import { ScriptedEngine } from '../../../support/scripted-engine.js';
import { startTestServer, stopTestServers } from '../../../support/test-server.js';

afterEach(stopTestServers);

/** What it says comes in one piece, as from a search. */
const engineSaying = (text: string): ScriptedEngine =>
  new ScriptedEngine(() => ({ steps: [[...bytesOf(text), EOS]], finish: 'stop' }));

const CHAT = { messages: [{ role: 'user', content: 'a' }] };

describe('beam search', () => {
  test.each([
    ['/v1/completions', { prompt: 'a', n: 3 }, 3, 3],
    ['/v1/completions', { prompt: 'a', n: 2, best_of: 5 }, 5, 2],
    ['/v1/chat/completions', { ...CHAT, n: 2 }, 2, 2],
    ['/v1/chat/completions', { ...CHAT, best_of: 4, temperature: 0, seed: 1 }, 4, 1],
    ['/v1/responses', { input: 'a', best_of: 4 }, 4, 1],
  ])('%s %j asks for so many beams', async (path, fields, width, outputs) => {
    const engine = engineSaying('ok');
    const { post } = await startTestServer(engine);
    const more = { use_beam_search: true, length_penalty: 0.5, early_stopping: 'never' };
    const response = await post(path, { ...fields, ...more });
    expect(response.status).toBe(200);
    const [{ request }] = engine.submitted;
    expect(request.beams).toEqual({ width, lengthPenalty: 0.5, earlyStopping: 'never' });
    expect(request.ids).toHaveLength(outputs);
    const { choices, output } = (await response.json()) as {
      choices?: readonly unknown[];
      output?: readonly unknown[];
    };
    expect(choices ?? output).toHaveLength(outputs);
  });

  test('is neither asked for nor refused by what clients send as a matter of course', async () => {
    const engine = engineSaying('ok');
    const { post } = await startTestServer(engine);
    const fields = { use_beam_search: false, length_penalty: 1, early_stopping: false, best_of: 1 };
    const response = await post('/v1/chat/completions', { ...CHAT, ...fields });
    expect(response.status).toBe(200);
    expect(engine.submitted[0].request.beams).toBeUndefined();
  });

  test.each([
    ['stream', { stream: true }],
    ['temperature', { temperature: 0.7 }],
    ['top_p', { top_p: 0.5 }],
    ['top_k', { top_k: 5 }],
    ['repetition_penalty', { repetition_penalty: 1.1 }],
    ['presence_penalty', { presence_penalty: 1 }],
    ['stop', { stop: ['x'] }],
    ['logit_bias', { logit_bias: { 1: 3 } }],
    ['bad_words', { bad_words: ['x'] }],
    ['allowed_token_ids', { allowed_token_ids: [1] }],
    ['use_beam_search', { response_format: { type: 'json_object' } }],
    ['best_of', { n: 3, best_of: 2 }],
  ])('does not go together with %s: %j', async (param, fields) => {
    const { post } = await startTestServer(engineSaying('ok'));
    const body = { prompt: 'a', use_beam_search: true, ...fields };
    const response = await post('/v1/completions', body);
    expect(response.status).toBe(400);
    expect(((await response.json()) as { error: OpenAI.ErrorObject }).error.param).toBe(param);
  });

  test.each([
    ['/v1/completions', 'length_penalty', { prompt: 'a', length_penalty: 2 }],
    ['/v1/completions', 'early_stopping', { prompt: 'a', early_stopping: 'never' }],
    ['/v1/chat/completions', 'best_of', { ...CHAT, best_of: 2 }],
    ['/v1/responses', 'best_of', { input: 'a', best_of: 2 }],
  ])('%s refuses %s without it', async (path, param, body) => {
    const { post } = await startTestServer(engineSaying('ok'));
    const response = await post(path, body);
    expect(response.status).toBe(400);
    const { error } = (await response.json()) as { error: OpenAI.ErrorObject };
    expect(error.param).toBe(param);
    expect(error.message).toBe(`${param} is not supported without use_beam_search: true`);
  });
});
