import { describe, expect, test } from 'vitest';
import {
  assertShort,
  assertSmall,
  describeSizes,
  MAX_SIZES,
} from '../../../engine/grammar/sizes.js';
import type { GrammarSpec } from '../../../engine/protocol/request.js';

const list = <T>(length: number, of: (index: number) => T): T[] =>
  Array.from({ length }, (_, index) => of(index));
const schema = (value: object) => ({ kind: 'json-schema', source: JSON.stringify(value) }) as const;
const named = (length: number): object =>
  Object.fromEntries(list(length, (index) => [`p${index}`, {}]));

describe('what a grammar is made of', () => {
  test('is counted over all of its parts', () => {
    const tool = schema({
      properties: named(30),
      required: ['p1', 'p2'],
      allOf: [{ enum: [1, 2, 3] }, { properties: { a: { const: 1 } } }],
    });
    const spec: GrammarSpec = {
      kind: 'structure',
      parts: [
        { kind: 'literal', text: 'call' },
        {
          kind: 'repeat',
          separator: ', ',
          min: 1,
          max: null,
          parts: [{ kind: 'alternatives', of: [[tool], [tool]] }],
        },
      ],
    };
    const sizes = assertSmall(spec);
    expect(sizes).toEqual({
      characters: 4 + 2 + 2 * tool.source.length,
      properties: 2 * 33,
      values: 2 * 4,
      branches: 2 * 2,
    });
    expect(describeSizes(sizes)).toMatch(/^\d+ characters, 66 properties, 8 values .*, 4 alter/);
  });

  test.each<[string, GrammarSpec, RegExp]>([
    ['characters', { kind: 'regex', source: 'a'.repeat(500_001) }, /500001 characters; at most/],
    ['choices', { kind: 'choice', choices: list(20_001, String) }, /20001 values in enum, const/],
    [
      'properties of many tools',
      {
        kind: 'structure',
        parts: list(41, () => schema({ properties: named(500) })),
      },
      /20500 properties; at most 20000/,
    ],
    ['enums', schema({ anyOf: list(3, () => ({ enum: list(7000, (i) => i) })) }), /21000 values/],
    ['lists', schema({ allOf: list(20_001, () => ({})) }), /20001 alternatives/],
  ])('%s: too many are named with their number', (_, spec, message) => {
    expect(() => assertSmall(spec)).toThrow(message);
    expect(() => assertSmall(spec)).toThrow(expect.objectContaining({ kind: 'invalid_request' }));
  });

  test('a schema that is no JSON is for its reader to refuse', () => {
    expect(assertSmall({ kind: 'json-schema', source: '{' }).properties).toBe(0);
  });

  test('lengths are known without reading anything, however long it is', () => {
    const long = { kind: 'choice', choices: list(100, () => 'x'.repeat(100_000)) } as const;
    expect(() => assertShort(long)).toThrow(/10000000 characters/);
    expect(assertShort({ kind: 'json-object' })).toBe(0);
    expect(MAX_SIZES.characters).toBe(500_000);
  });
});
