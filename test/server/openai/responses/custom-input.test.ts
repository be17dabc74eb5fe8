import fc from 'fast-check';
import { expect, test } from 'vitest';
import { CustomInput } from '../../../../server/openai/responses/custom-input.js';

/** The deltas of a text in pieces. */
function read(...pieces: string[]): string[] {
  const reader = new CustomInput();
  return [...pieces.map((piece) => reader.push(piece)), reader.end()].filter((text) => text !== '');
}

test('any text comes back, however its JSON is cut, in whole characters', () => {
  const text = fc.string({ unit: 'binary' });
  fc.assert(
    fc.property(text, fc.boolean(), fc.integer({ min: 1, max: 9 }), (input, escaped, size) => {
      const json = JSON.stringify({ input }, null, escaped ? 2 : 0);
      const ascii = json.replace(
        /[^\0-\x7f]/g,
        (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`,
      );
      const source = escaped ? ascii : json;
      const pieces = source.match(new RegExp(`[^]{1,${size}}`, 'g')) ?? [];
      const deltas = read(...pieces);
      expect(deltas.join('')).toBe(input);
      expect(deltas.filter((delta) => /[\ud800-\udbff]$/.test(delta))).toEqual([]);
    }),
    { numRuns: 200 },
  );
});

test('it comes while it is written', () => {
  expect(read('{"in', 'put": "a\\', 'nb', 'c"}')).toEqual(['a', '\nb', 'c']);
});

test('what is no such JSON is the text as it is', () => {
  expect(read('{"pat', 'ch": "x"}').join('')).toBe('{"patch": "x"}');
  expect(read('{"in put":"x"}').join('')).toBe('{"in put":"x"}');
  expect(read('{"inp').join('')).toBe('{"inp');
});
