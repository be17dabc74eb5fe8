import { expect, it } from 'vitest';
import { parseSpeculativeConfig } from '../../../engine/speculation/speculative-config.js';

it('takes the words of vLLM', () => {
  expect(parseSpeculativeConfig('{"method":"ngram"}')).toEqual({
    method: 'ngram',
    maxDraftTokens: 16,
    least: 2,
    longest: 16,
  });
  const text =
    '{"method":"suffix","num_speculative_tokens":5,"prompt_lookup_min":3,"prompt_lookup_max":4}';
  expect(parseSpeculativeConfig(text)).toEqual({
    method: 'suffix',
    maxDraftTokens: 5,
    least: 3,
    longest: 4,
  });
  const model = { method: 'draft_model', model: 'owner/name' };
  expect(parseSpeculativeConfig('{"model":"owner/name"}')).toEqual({ ...model, maxDraftTokens: 8 });
  expect(parseSpeculativeConfig(JSON.stringify({ ...model, num_speculative_tokens: 3 }))).toEqual({
    ...model,
    maxDraftTokens: 3,
  });
  expect(parseSpeculativeConfig('{"method":"eagle","model":"owner/name"}')).toEqual({
    method: 'eagle',
    model: 'owner/name',
    maxDraftTokens: 4,
  });
  expect(parseSpeculativeConfig('{"method":"mtp","num_speculative_tokens":1}')).toEqual({
    method: 'mtp',
    maxDraftTokens: 1,
  });
  expect(parseSpeculativeConfig('{"method":"ngram","prompt_lookup_max":1}')).toMatchObject({
    least: 1,
    longest: 1,
  });
});

it.each([
  ['ngram', 'ngram is no JSON, such as {"method":"ngram"}'],
  ['["ngram"]', '["ngram"] is no JSON object, such as {"method":"ngram"}'],
  ['{}', 'method is missing: one of ngram, suffix, draft_model, eagle, mtp'],
  [
    '{"method":"eagle3"}',
    'method "eagle3" is not served: one of ngram, suffix, draft_model, eagle',
  ],
  ['{"method":"ngram","model":"x"}', 'model: is for "draft_model" and "eagle", not for "ngram"'],
  ['{"method":"draft_model"}', 'method "draft_model" needs a model'],
  ['{"method":"eagle"}', 'method "eagle" needs a model'],
  ['{"method":"mtp","model":"x"}', 'model: is for "draft_model" and "eagle", not for "mtp"'],
  [
    '{"method":"mtp","prompt_lookup_max":4}',
    'prompt_lookup_min and prompt_lookup_max are for ngram and suffix',
  ],
  ['{"model":""}', 'model "": must be a directory or a name'],
  [
    '{"model":"x","prompt_lookup_min":2}',
    'prompt_lookup_min and prompt_lookup_max are for ngram and suffix',
  ],
  [
    '{"model":"x","draft_tensor_parallel_size":2}',
    'draft_tensor_parallel_size is not known: method, model, num_speculative_tokens, prompt_lookup_min, prompt_lookup_max',
  ],
  [
    '{"method":"ngram","num_speculative_tokens":0}',
    'num_speculative_tokens 0: must be an integer from 1 to 64',
  ],
  [
    '{"method":"ngram","prompt_lookup_min":4,"prompt_lookup_max":2}',
    'prompt_lookup_max (2) is less than prompt_lookup_min (4)',
  ],
])('refuses %s', (text, problem) => {
  expect(() => parseSpeculativeConfig(text)).toThrow(`--speculative-config: ${problem}`);
});
