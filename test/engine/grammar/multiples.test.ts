// oxlint-disable oxc/no-map-spread -- arbitraries are mapped, not arrays
import { Ajv2020 } from 'ajv/dist/2020.js';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { grammarText } from '../../../engine/grammar/to-grammar.js';
import { languageOf } from '../../support/grammar-language.js';

/** Ajv divides doubles: a precision makes it mean decimals. */
const ajv = new Ajv2020({ strict: false, multipleOfPrecision: 9 });

const specOf = (schema: unknown) =>
  ({ kind: 'json-schema', source: JSON.stringify(schema) }) as const;

const DIVISORS = [1, 2, 3, 4, 7, 10, 12, 25, 60, 100, 1000, 0.5, 0.25, 0.1, 0.01, 0.3, 1.5, 2.5];

const bound = fc.option(fc.tuple(fc.boolean(), fc.integer({ min: -3000, max: 3000 })));

const numeric = fc
  .tuple(fc.constantFrom('integer', 'number'), fc.constantFrom(...DIVISORS), bound, bound)
  .map(([type, multipleOf, low, high]) => ({
    type,
    multipleOf,
    ...(low && { [low[0] ? 'exclusiveMinimum' : 'minimum']: low[1] / 10 }),
    ...(high && { [high[0] ? 'exclusiveMaximum' : 'maximum']: high[1] / 10 }),
  }));

/** Near the bounds, and far from them; multiples, and others. */
const numbers = (multipleOf: number): fc.Arbitrary<number> =>
  fc.oneof(
    fc.integer({ min: -400, max: 400 }),
    fc.integer({ min: -40_000, max: 40_000 }).map((n) => n / 100),
    fc.integer({ min: -2000, max: 2000 }).map((n) => Number((n * multipleOf).toFixed(4))),
    fc.integer({ min: -1e9, max: 1e9 }),
  );

const sets = fc
  .tuple(
    fc.subarray([true, false, null, 1, 2, 'a', 'b', '10', [1], { c: 1, d: [] }], { minLength: 1 }),
    fc.array(fc.subarray([true, 1, 2, 'a'], { minLength: 1 }), { maxLength: 2 }),
    fc.option(fc.nat(3)),
    fc.option(fc.nat(4)),
  )
  .map(([values, prefix, minItems, maxItems]) => ({
    type: 'array',
    uniqueItems: true,
    ...(prefix.length > 0 && { prefixItems: prefix.map((each) => ({ enum: each })) }),
    items: { enum: values },
    ...(minItems !== null && { minItems }),
    ...(maxItems !== null && { maxItems }),
  }));

const items = fc.constantFrom(true, false, null, 1, 2, 3, 'a', 'b', '10', [1], { c: 1, d: [] });

describe('multipleOf and uniqueItems', () => {
  it('multipleOf: writes a number exactly if Ajv takes it', async () => {
    let [valid, invalid] = [0, 0];
    const property = fc.asyncProperty(
      numeric.chain((schema) =>
        fc.tuple(fc.constant(schema), fc.array(numbers(schema.multipleOf), { minLength: 20 })),
      ),
      async ([schema, drawn]) => {
        const validate = ajv.compile(schema);
        const allows = await languageOf(specOf(schema)).catch((error: Error) => {
          expect(error.message).toBe('the JSON schema: no value can be valid');
          return () => Promise.resolve(false);
        });
        for (const number of drawn) {
          const isValid = validate(number);
          const text = JSON.stringify(number);
          expect([schema, text, await allows(text)]).toEqual([schema, text, isValid]);
          if (isValid) valid += 1;
          else invalid += 1;
        }
      },
    );
    await fc.assert(property, { numRuns: 40, seed: 7 });
    expect(Math.min(valid, invalid)).toBeGreaterThan(100);
  });

  it('uniqueItems: writes an array exactly if Ajv takes it', async () => {
    let [valid, invalid] = [0, 0];
    const property = fc.asyncProperty(
      sets,
      fc.array(fc.array(items, { maxLength: 5 }), { minLength: 20 }),
      async (schema, drawn) => {
        const validate = ajv.compile(schema);
        const allows = await languageOf(specOf(schema)).catch((error: Error) => {
          expect(error.message).toBe('the JSON schema: no value can be valid');
          return () => Promise.resolve(false);
        });
        for (const array of drawn) {
          const isValid = validate(array);
          const text = JSON.stringify(array);
          expect([schema, text, await allows(text)]).toEqual([schema, text, isValid]);
          if (isValid) valid += 1;
          else invalid += 1;
        }
      },
    );
    await fc.assert(property, { numRuns: 40, seed: 7 });
    expect(Math.min(valid, invalid)).toBeGreaterThan(100);
  });

  it('holds integer divisors up to 60, and powers of ten', () => {
    for (const multipleOf of [49, 59, 60, 100, 1e3, 1e6, 1e12, 0.1, 1e-6, 3600, 86_400]) {
      expect(grammarText(specOf({ multipleOf }))).toContain('root');
    }
  });

  it('has no more states than the last digits take, where 2 and 5 divide', () => {
    const rules = (multipleOf: number): number =>
      grammarText(specOf({ type: 'integer', multipleOf })).split('\n').length;
    // One more digit to remember for each zero, of 15 digits: not a state for each of a million
    // remainders.
    expect(rules(1e6)).toBeLessThan(100);
    expect(rules(1000)).toBeLessThan(rules(1e6));
    expect(rules(7)).toBeGreaterThan(7 * 14);
  });

  it('with bounds holds divisors that alone have too many remainders', async () => {
    const schema = { type: 'integer', multipleOf: 997, minimum: 0, maximum: 100_000 };
    const allows = await languageOf(specOf(schema));
    for (const n of [0, 997, 1994, 99_700, 996, 99_701, 100_697]) {
      expect([n, await allows(String(n))]).toEqual([n, n % 997 === 0 && n <= 100_000]);
    }
    const { maximum, ...open } = schema;
    expect(maximum).toBe(100_000);
    expect(() => grammarText(specOf(open))).toThrow('bounds with fewer digits may help');
  });

  it('uniqueItems: the library copies no value into the rules of all sets', () => {
    const four = { enum: ['one', 'two', 'three', 'four'] };
    const text = grammarText(specOf({ type: 'array', uniqueItems: true, items: four }));
    const rules = [...text.matchAll(/^(\w+) ::= (.*)$/gm)];
    const values = rules.filter(([, , body]) => /^"[^"]*"$/.test(body));
    expect(values).toHaveLength(4);
    for (const [, name] of values) {
      const users = rules.filter(([, , body]) => new RegExp(`\\b${name}\\b`).test(body));
      expect(users.map(([, , body]) => body)).toEqual([name]);
    }
  });
});
