import { expect, test } from 'vitest';
import type { TokenId } from '../../../../scheduler/ids.js';
import { echoOf, placeTokens } from '../../../../server/openai/completions/echo.js';
import { byteModel, bytesOf, EOS } from '../../../support/byte-model.js';

const { tokenizer } = byteModel;

const scores = (count: number) =>
  Array.from({ length: count }, (_, i) => ({ logprob: -1 - i, topIds: [], topLogprobs: [] }));

const placesOf = (prompt: string | number[], ids: TokenId[]): (number | null | undefined)[][] => {
  const echo = echoOf(prompt, 0, ids, tokenizer);
  const placed = placeTokens(echo, scores(ids.length - 1), tokenizer);
  return placed.map(({ offset, logprobs }) => [offset, logprobs?.logprob]);
};

test('tokens stand where their characters begin, the first without a score', () => {
  expect(placesOf('aéb', bytesOf('aéb'))).toEqual([
    [0, undefined],
    [1, -1],
    [1, -2],
    [2, -3],
  ]);
});

test('what the tokenizer adds in front has no place in a text that was sent', () => {
  expect(placesOf('ab', [EOS, ...bytesOf('ab')])).toEqual([
    [0, undefined],
    [0, -1],
    [1, -2],
  ]);
});

test('of a prompt of ids every token is text, special ones too', () => {
  const ids = [EOS, ...bytesOf('a')];
  expect(placesOf(ids, ids)).toEqual([
    [0, undefined],
    ['<end>'.length, -1],
  ]);
  expect(echoOf(ids, 0, ids, tokenizer).text).toBe('<end>a');
});
