import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { toolInput } from '../../../engine/tools/tool-input.js';

describe('the input of a call', () => {
  test.each<[string, object]>([
    ['{"city": "Paris"}', { city: 'Paris' }],
    ['', {}],
    ['{', {}],
    ['{"city"', {}],
    ['{"city": ', {}],
    ['{"city": "Par', {}],
    ['{"city": "Paris"', { city: 'Paris' }],
    ['{"city": "Paris", "da', { city: 'Paris' }],
    ['{"a": 1', {}],
    ['{"a": 1, ', { a: 1 }],
    ['{"a": tru', {}],
    ['{"a": [1, {"b": "x"}, {"c": ', { a: [1, { b: 'x' }, {}] }],
    ['{"a": "\\"", "b": "\\', { a: '"' }],
    ['{"a": {"b": []}', { a: { b: [] } }],
    // No object.
    ['[1]', {}],
    ['"x"', {}],
    ['null', {}],
    ['Paris', {}],
    ['{a: 1}', {}],
  ])('of %j', (text, input) => {
    expect(toolInput(text)).toEqual(input);
  });

  test('of any text that is cut anywhere is a part of the whole', () => {
    const objects = fc.dictionary(fc.string(), fc.jsonValue(), { noNullPrototype: true });
    fc.assert(
      fc.property(objects, fc.nat(), fc.boolean(), (value, seed, isSpaced) => {
        const whole: unknown = JSON.parse(JSON.stringify(value));
        const text = JSON.stringify(value, null, isSpaced ? 1 : 0);
        expect(toolInput(text)).toEqual(whole);
        expectPart(toolInput(text.slice(0, seed % (text.length + 1))), whole);
      }),
      { numRuns: 500, seed: 1 },
    );
  });
});

/** All of `part` is in `whole`, at the same places. */
function expectPart(part: unknown, whole: unknown): void {
  if (typeof part !== 'object' || part === null) {
    expect(part).toEqual(whole);
    return;
  }
  expect(Array.isArray(part)).toBe(Array.isArray(whole));
  for (const key of Object.keys(part)) {
    expect(Object.hasOwn(whole as object, key)).toBe(true);
    expectPart(Reflect.get(part, key), Reflect.get(whole as object, key));
  }
}
