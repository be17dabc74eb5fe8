import { Ajv } from 'ajv';
import { Ajv2020 } from 'ajv/dist/2020.js';
import addFormats from 'ajv-formats';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { grammarText } from '../../../engine/grammar/to-grammar.js';
import { languageOf, writerOf } from '../../support/grammar-language.js';
import { schemaArbitrary } from './schema-arbitrary.js';
import { REFUSED_SCHEMAS, SCHEMA_CASES } from './schema-cases.js';

/** Ajv divides doubles: without a precision 0.07 is no multiple of 0.01 for it. */
const OPTIONS = { strict: false, multipleOfPrecision: 9 };
const ajv = new Ajv2020(OPTIONS);
(addFormats as unknown as (ajv: Ajv2020) => void)(ajv);

const specOf = (schema: unknown) =>
  ({ kind: 'json-schema', source: JSON.stringify(schema) }) as const;

/** As Python's json.dumps writes it, which models have learned. */
function spaced(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(spaced).join(', ')}]`;
  if (typeof value !== 'object' || value === null) return JSON.stringify(value);
  const members = Object.entries(value).map(([key, v]) => `${JSON.stringify(key)}: ${spaced(v)}`);
  return `{${members.join(', ')}}`;
}

describe('a JSON schema as a grammar', () => {
  it('may declare 1000 members, and no more', () => {
    const grammarOf = (count: number): string => {
      const names = Array.from({ length: count }, (_, i) => `x${i}`);
      const properties = Object.fromEntries(names.map((name) => [name, { type: 'null' }]));
      return grammarText(specOf({ type: 'object', properties }));
    };
    expect(grammarOf(1000)).toContain('x999');
    expect(() => grammarOf(1001)).toThrow(/\/properties.*1000/);
    expect(() => grammarOf(5000)).toThrow(/\/properties.*1000/);
  });

  it.each(SCHEMA_CASES.map((each) => [JSON.stringify(each.schema), each] as const))(
    'allows what Ajv accepts, and nothing else: %s',
    async (_, { schema, instances }) => {
      const allows = await languageOf(specOf(schema));
      const isDraft7 = JSON.stringify(schema).includes('additionalItems');
      const validate = (isDraft7 ? new Ajv(OPTIONS) : ajv).compile(schema);
      for (const instance of instances) {
        const isValid = validate(instance);
        expect([spaced(instance), await allows(spaced(instance))]).toEqual([
          spaced(instance),
          isValid,
        ]);
        expect(await allows(JSON.stringify(instance))).toBe(isValid);
        const lines = JSON.stringify(instance, null, 2);
        expect(await allows(lines)).toBe(isValid);
      }
    },
  );

  it.each(SCHEMA_CASES.map((each) => [JSON.stringify(each.schema), each] as const))(
    'compact: allows the same in one form: %s',
    async (_, { schema, instances }) => {
      const any = await languageOf(specOf(schema));
      const compact = await languageOf({ ...specOf(schema), compact: true });
      for (const instance of instances) {
        const written = JSON.stringify(instance);
        expect([written, await compact(written)]).toEqual([written, await any(written)]);
        for (const other of [spaced(instance), JSON.stringify(instance, null, 2)]) {
          if (other !== written) expect([other, await compact(other)]).toEqual([other, false]);
        }
      }
    },
  );

  it.each(REFUSED_SCHEMAS.map(([schema, named]) => [JSON.stringify(schema), named] as const))(
    'refuses %s, naming %s',
    (source, named) => {
      expect(() => grammarText({ kind: 'json-schema', source })).toThrow(named);
      expect(() => grammarText({ kind: 'json-schema', source })).toThrow(
        expect.objectContaining({ kind: 'invalid_request' }),
      );
    },
  );

  it('writes only valid instances, whatever is drawn', async () => {
    let written = 0;
    await fc.assert(
      fc.asyncProperty(schemaArbitrary, fc.nat(), async (schema, seed) => {
        const write = await writerOf(specOf(schema));
        const validate = ajv.compile(schema);
        for (let n = 0; n < 3; n++) {
          const text = await write(seed + n, 1500);
          if (text === null) continue;
          written += 1;
          expect([text, validate(JSON.parse(text)), validate.errors]).toEqual([text, true, null]);
        }
      }),
      { numRuns: 40, seed: 4 },
    );
    expect(written).toBeGreaterThan(60);
  });

  it('takes no more than one line end and an indent of white space anywhere', async () => {
    const allows = await languageOf({ kind: 'json-object' });
    expect(await allows('{"a":  1}')).toBe(false);
    expect(await allows(`{\n${' '.repeat(24)}"a": 1}`)).toBe(true);
    expect(await allows(`{\n${' '.repeat(25)}"a": 1}`)).toBe(false);
    expect(await allows('{\n\n"a": 1}')).toBe(false);
    expect(await allows(' {}')).toBe(false);
  });

  it('refuses a member that a second one of the same name would replace', async () => {
    const schema = {
      type: 'object',
      properties: { n: { type: 'integer' } },
      additionalProperties: true,
    };
    const allows = await languageOf(specOf(schema));
    expect(await allows('{"n":1,"m":"x"}')).toBe(true);
    expect(await allows('{"n":1,"n":"x"}')).toBe(false);
    expect(await allows('{"n":1,"\\u006e":"x"}')).toBe(false);
  });

  it('refuses deep and large schemas instead of running out of anything', () => {
    let deep: object = { type: 'integer' };
    for (let i = 0; i < 1000; i++) deep = { type: 'array', items: deep };
    expect(() => grammarText(specOf(deep))).toThrow('levels');
    expect(() => grammarText(specOf({ type: 'string', maxLength: 1e6 }))).toThrow('too large');
    const branches = Array.from({ length: 20 }, (_, i) => ({ const: i }));
    const product = { allOf: Array.from({ length: 4 }, () => ({ anyOf: branches })) };
    expect(() => grammarText(specOf(product))).toThrow('alternatives');
  });
});
