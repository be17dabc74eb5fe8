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
  expect(parseSpeculativeConfig('{"method":"ngram","prompt_lookup_max":1}')).toMatchObject({
    least: 1,
    longest: 1,
  });
});

it.each([
  ['ngram', 'ngram is no JSON, such as {"method":"ngram"}'],
  ['["ngram"]', '["ngram"] is no JSON object, such as {"method":"ngram"}'],
  ['{}', 'method is missing: one of ngram, suffix'],
  ['{"method":"eagle3"}', 'method "eagle3" is not served: one of ngram, suffix'],
  [
    '{"method":"ngram","model":"x"}',
    'model is not known: method, num_speculative_tokens, prompt_lookup_min, prompt_lookup_max',
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
