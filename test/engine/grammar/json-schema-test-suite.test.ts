import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { KEYWORDS } from '../../../engine/grammar/schema/keywords.js';
import { type Language, languageOf } from '../../support/grammar-language.js';
import { EXCEPTION_KEYS, notWritten } from './test-suite-exceptions.js';

interface Instance {
  readonly description: string;
  readonly data: unknown;
  readonly valid: boolean;
}

interface Case {
  readonly file: string;
  readonly description: string;
  readonly schema: unknown;
  readonly tests: readonly Instance[];
}

/**
 * Draft 7 leaves it open whether these are enforced; 2020-12 says that they are annotations, as
 * they are here.
 */
const ANNOTATIONS = 'optional/content.json';

function casesOf(draft: string): Case[] {
  const at = new URL(`../../fixtures/json-schema-test-suite/${draft}.jsonl`, import.meta.url);
  const lines = readFileSync(at, 'utf8').trimEnd().split('\n');
  return lines.map((line) => JSON.parse(line) as Case).filter(({ file }) => file !== ANNOTATIONS);
}

/** The keyword that a refusal names: in quotes, or as the end of the pointer. */
function namedIn(message: string): string | null {
  const [, quoted] = /the keyword "([^"]+)"/.exec(message) ?? [];
  const [, pointer] = / at (\/\S+?):/.exec(message) ?? [];
  return quoted ?? pointer?.split('/').at(-1) ?? null;
}

const permutations = <T>(items: readonly T[]): T[][] =>
  items.length === 0
    ? [[]]
    : items.flatMap((item, i) =>
        permutations(items.toSpliced(i, 1)).map((rest) => [item].concat(rest)),
      );

const compile = (schema: unknown): Promise<Language | Error> =>
  languageOf({ kind: 'json-schema', source: JSON.stringify(schema) }).catch(
    (error: Error) => error,
  );

/** Exceptions that were met in any draft. */
const met = new Set<string>();

describe.each([
  ['draft2020-12', 190, 950],
  ['draft7', 180, 700],
] as const)("JSON Schema's test-suite, %s", (draft, leastEnforced, leastInstances) => {
  const cases = casesOf(draft);

  it('has every schema enforced, or refused by its keyword', async () => {
    let enforced = 0;
    for (const { file, description, schema, tests } of cases) {
      const compiled = await compile(schema);
      if (typeof compiled === 'function') {
        enforced += 1;
        continue;
      }
      expect(compiled).toMatchObject({ kind: 'invalid_request' });
      const named = namedIn(compiled.message);
      if (named === null) {
        // There is no keyword to name when a schema is false.
        expect([file, description, compiled.message]).toEqual([
          file,
          description,
          'the JSON schema: no value can be valid',
        ]);
        expect(tests.filter(({ valid }) => valid)).toEqual([]);
      } else {
        const isUnknown = file === 'optional/refOfUnknownKeyword.json';
        expect([file, description, named, Object.hasOwn(KEYWORDS, named) || isUnknown]).toEqual([
          file,
          description,
          named,
          true,
        ]);
      }
    }
    expect(enforced).toBeGreaterThan(leastEnforced);
  });

  it('has every valid instance written but for the exceptions, and no other', async () => {
    let instances = 0;
    for (const { file, description, schema, tests } of cases) {
      const allows = await compile(schema);
      if (typeof allows !== 'function') continue;
      for (const { description: instance, data, valid } of tests) {
        instances += 1;
        const key = `${file} | ${description} | ${instance}`;
        const reason = valid ? notWritten(key) : null;
        if (reason) met.add(key);
        const text = JSON.stringify(data);
        const isWritten = await allows(text);
        expect([key, text, isWritten]).toEqual([key, text, valid && reason === null]);
        if (reason === 'members are written in the order of their declaration') {
          const orders = permutations(Object.entries(data as object)).map(Object.fromEntries);
          const written = await Promise.all(orders.map((each) => allows(JSON.stringify(each))));
          expect([key, written.filter(Boolean)]).toEqual([key, [true]]);
        }
      }
    }
    expect(instances).toBeGreaterThan(leastInstances);
  });
});

it('meets each of the exceptions', () => {
  expect([...EXCEPTION_KEYS].filter((key) => !met.has(key))).toEqual([]);
});
