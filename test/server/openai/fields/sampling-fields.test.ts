import { afterEach, describe, expect, test } from 'vitest';
import type { ErrorBody } from '../../../../server/http/errors.js';
import { byteModel, bytesOf, EOS } from '../../../support/byte-model.js';
import { ScriptedEngine } from '../../../support/scripted-engine.js';
import { startTestServer, stopTestServers } from '../../../support/test-server.js';

afterEach(stopTestServers);

const ENDPOINTS = [
  ['/v1/chat/completions', { messages: [{ role: 'user', content: 'Hi' }] }],
  ['/v1/completions', { prompt: 'Hi' }],
] as const;

const saying = (text: string): ScriptedEngine =>
  new ScriptedEngine(() => ({ steps: bytesOf(text).map((id) => [id]), finish: 'length' }));

describe.each(ENDPOINTS)('%s', (path, prompt) => {
  test('hands every sampling field to the engine', async () => {
    const engine = saying('x');
    const { post } = await startTestServer(engine);
    const response = await post(path, {
      ...prompt,
      temperature: 0.5,
      top_p: 0.9,
      top_k: 40,
      min_p: 0.05,
      typical_p: 0.8,
      presence_penalty: -2,
      frequency_penalty: 2,
      repetition_penalty: 1.1,
      logit_bias: { '5': -100, '399': 2.5 },
      seed: 2 ** 32 + 3,
      min_tokens: 2,
      max_tokens: 5,
      max_completion_tokens: 4,
      stop_token_ids: [9],
      priority: -3,
      cache_salt: 's',
      prompt_cache_key: 'k',
      prompt_cache_retention: '24h',
    });
    expect(response.status).toBe(200);
    expect(engine.submitted[0]?.request).toMatchObject({
      sampling: {
        temperature: 0.5,
        topP: 0.9,
        topK: 40,
        minP: 0.05,
        typicalP: 0.8,
        presencePenalty: -2,
        frequencyPenalty: 2,
        repetitionPenalty: 1.1,
        logitBias: [
          [5, -100],
          [399, 2.5],
        ],
        seed: 2 ** 32 + 3,
      },
      minTokens: 2,
      maxTokens: 4,
      stopTokenIds: [EOS, 9],
      priority: -3,
      cacheSalt: 's',
      reuse: { key: 'k', isRetained: true },
      logprobs: null,
      promptLogprobs: null,
    });
    // Only what the engine knows crosses to it.
    expect(engine.submitted[0]?.request).not.toHaveProperty('stop');
    expect(engine.submitted[0]?.request).not.toHaveProperty('promptOnly');
  });

  test.each([0, -1])('top_k %d keeps all', async (top_k) => {
    const engine = saying('x');
    const { post } = await startTestServer(engine);
    expect((await post(path, { ...prompt, top_k })).status).toBe(200);
    expect(engine.submitted[0]?.request.sampling.topK).toBe(0);
  });

  test("what is left out comes from the model's defaults", async () => {
    const engine = saying('x');
    const defaults = { temperature: 0.7, topP: 0.8, topK: 20, minP: 0.1, typicalP: 0.9 };
    const { post } = await startTestServer(engine, {
      model: {
        ...byteModel,
        defaultSampling: { ...byteModel.defaultSampling, ...defaults, repetitionPenalty: 1.05 },
      },
    });
    await post(path, { ...prompt, top_p: 1, top_k: -1 });
    expect(engine.submitted[0]?.request.sampling).toEqual({
      logitBias: [],
      repetitionPenalty: 1.05,
      frequencyPenalty: 0,
      presencePenalty: 0,
      temperature: 0.7,
      topK: 0,
      minP: 0.1,
      typicalP: 0.9,
      topP: 1,
      seed: 7,
    });
  });

  test.each<[Record<string, unknown>, string, RegExp]>([
    [{ top_k: -2 }, 'top_k', />= -1/],
    [{ top_k: 1.5 }, 'top_k', /integer/],
    [{ prompt_cache_retention: '1h' }, 'prompt_cache_retention', /24h/],
    [{ min_p: 1.1 }, 'min_p', /<= 1/],
    [{ typical_p: 0 }, 'typical_p', /> 0/],
    [{ presence_penalty: 2.1 }, 'presence_penalty', /<= 2/],
    [{ frequency_penalty: -2.1 }, 'frequency_penalty', />= -2/],
    [{ repetition_penalty: 0 }, 'repetition_penalty', />= 0.01/],
    [{ logit_bias: { 5: 101 } }, 'logit_bias[5]', /<= 100/],
    [{ logit_bias: { 5: 'x' } }, 'logit_bias[5]', /number/],
    [{ logit_bias: [1] }, 'logit_bias', /object/],
    [{ logit_bias: { hello: 1 } }, 'logit_bias', /'hello' is not a token id/],
    [{ logit_bias: { '1e2': 1 } }, 'logit_bias', /is not a token id/],
    [{ logit_bias: { 400: 1 } }, 'logit_bias', /400 is not in the vocabulary of 400/],
    [{ min_tokens: -1 }, 'min_tokens', />= 0/],
    [{ min_tokens: 5, max_tokens: 4 }, 'min_tokens', /min_tokens is 5, but at most 4/],
    [{ max_completion_tokens: 0 }, 'max_completion_tokens', />= 1/],
    [{ max_tokens: 0 }, 'max_tokens', />= 1/],
    [{ prompt_logprobs: 21 }, 'prompt_logprobs', /<= 20/],
    [{ seed: 1.5 }, 'seed', /integer/],
    [{ metadata: { a: 1 } }, 'metadata.a', /string/],
    [{ suffix: 'x' }, 'suffix', /not supported|no tokens for filling a gap/],
    [{ bad_words: [''] }, 'bad_words[0]', /must not be empty/],
    [{ allowed_token_ids: [400] }, 'allowed_token_ids', /400 is not in the vocabulary/],
    [{ return_token_ids: 1 }, 'return_token_ids', /boolean/],
  ])('%j is a 400 that names the field', async (fields, param, message) => {
    const engine = saying('x');
    const { post } = await startTestServer(engine);
    const response = await post(path, { ...prompt, ...fields });
    expect(response.status).toBe(400);
    const { error } = (await response.json()) as ErrorBody;
    expect(error).toMatchObject({ param, message: expect.stringMatching(message) as string });
    expect(engine.submitted).toEqual([]);
  });

  test('harmless fields of other servers are taken', async () => {
    const { post } = await startTestServer(saying('x'));
    const response = await post(path, {
      ...prompt,
      user: 'u',
      safety_identifier: 's',
      metadata: { a: 'b' },
      store: true,
      service_tier: 'auto',
      spaces_between_special_tokens: false,
      bad_words: [],
      verbosity: 'medium',
    });
    expect(response.status).toBe(200);
  });

  test('a stop string counts only after min_tokens', async () => {
    const { post } = await startTestServer(saying('aba bab abab'));
    const texts: string[] = [];
    for (const min_tokens of [0, 2, 3, 8]) {
      const response = await post(path, { ...prompt, stop: 'ab', min_tokens });
      const { choices } = (await response.json()) as {
        choices: { text?: string; message?: { content: string } }[];
      };
      texts.push(choices[0]?.text ?? choices[0]?.message?.content ?? '');
    }
    // Complete at the tokens 2, 7, 10 and 12.
    expect(texts).toEqual(['', 'aba b', 'aba b', 'aba bab ']);
  });

  test('special tokens are shown on demand', async () => {
    const engine = new ScriptedEngine(() => ({ steps: [[65, EOS, 66]], finish: 'length' }));
    const { post } = await startTestServer(engine);
    const shown = await post(path, { ...prompt, skip_special_tokens: false });
    expect(await shown.text()).toContain('A<end>B');
    expect(await (await post(path, prompt)).text()).toContain('"AB"');
  });
});

describe('logprobs', () => {
  test.each<[string, object, object, string]>([
    [ENDPOINTS[0][0], ENDPOINTS[0][1], { top_logprobs: 1 }, 'top_logprobs'],
    [ENDPOINTS[0][0], ENDPOINTS[0][1], { logprobs: true, top_logprobs: 21 }, 'top_logprobs'],
    [ENDPOINTS[0][0], ENDPOINTS[0][1], { logprobs: 1 }, 'logprobs'],
    [ENDPOINTS[1][0], ENDPOINTS[1][1], { logprobs: 21 }, 'logprobs'],
    [ENDPOINTS[1][0], ENDPOINTS[1][1], { logprobs: true }, 'logprobs'],
    [ENDPOINTS[1][0], ENDPOINTS[1][1], { top_logprobs: 1 }, 'top_logprobs'],
    [ENDPOINTS[0][0], ENDPOINTS[0][1], { echo: true }, 'echo'],
    [ENDPOINTS[0][0], ENDPOINTS[0][1], { best_of: 2 }, 'best_of'],
  ])('%s %j with %j is a 400', async (path, prompt, fields, param) => {
    const { post } = await startTestServer(saying('x'));
    const response = await post(path, { ...prompt, ...fields });
    expect(response.status).toBe(400);
    expect(await response.json()).toMatchObject({ error: { param } });
  });
});
