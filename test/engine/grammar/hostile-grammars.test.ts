import { expect, it } from 'vitest';
import { OctavoError } from '../../../engine/errors.js';
import { grammarText } from '../../../engine/grammar/to-grammar.js';
import type { GrammarSpec } from '../../../engine/protocol/request.js';
import { processorMs } from '../../support/processor-time.js';

const list = <T>(length: number, of: (index: number) => T): T[] =>
  Array.from({ length }, (_, index) => of(index));
const named = (length: number, of: (index: number) => unknown): object =>
  Object.fromEntries(list(length, (index) => [`p${index}`, of(index)]));
const regex = (source: string): GrammarSpec => ({ kind: 'regex', source });
const ebnf = (source: string): GrammarSpec => ({ kind: 'ebnf', source });
const schema = (value: object): GrammarSpec => ({
  kind: 'json-schema',
  source: JSON.stringify(value),
});
const object = (properties: object, more: object = {}): GrammarSpec =>
  schema({ type: 'object', properties, ...more });
/** Many states, and a cost of its own for each `k`. */
const costly = (k: number): string => `${k}${'a?'.repeat(900)}`;

/** Grammars of a size, by what is large in them. */
const GRAMMARS: Readonly<Record<string, (n: number) => GrammarSpec>> = {
  'a regex, nested': (n) => regex('('.repeat(n) + 'a' + ')'.repeat(n)),
  'a regex, nested repetitions': (n) => regex('(?:'.repeat(n) + 'a' + ')*'.repeat(n)),
  'a regex of alternatives': (n) => regex(list(n, (i) => `a${i}`).join('|')),
  'a regex of options': (n) => regex('a?'.repeat(n)),
  'a grammar, nested': (n) => ebnf(`root ::= ${'('.repeat(n)}"a"${')'.repeat(n)}`),
  'a grammar of rules': (n) =>
    ebnf(`root ::= r0\n${list(n, (i) => `r${i} ::= "a" r${i + 1}`).join('\n')}\nr${n} ::= "b"`),
  'a grammar of repetitions': (n) => ebnf(`root ::= "a"${'*'.repeat(n)}`),
  choices: (n) => ({ kind: 'choice', choices: list(n, (i) => `c${i}`) }),
  enum: (n) => schema({ enum: list(n, (i) => i) }),
  'enum twice': (n) =>
    schema({ allOf: [{ enum: list(n, (i) => i) }, { enum: list(n, (i) => -i) }] }),
  required: (n) => schema({ type: 'object', required: list(n, (i) => `r${i}`) }),
  $ref: (n) =>
    schema({
      $defs: named(n, (i) => (i + 1 < n ? { $ref: `#/$defs/p${i + 1}` } : {})),
      $ref: '#/$defs/p0',
    }),
  allOf: (n) => schema({ allOf: list(n, (minimum) => ({ type: 'integer', minimum })) }),
  anyOf: (n) =>
    schema({ anyOf: list(n, (i) => ({ type: 'object', properties: { [`p${i}`]: {} } })) }),
  oneOf: (n) => schema({ oneOf: list(n, (i) => ({ const: i })) }),
  'many oneOf': (n) => object(named(n / 100, () => ({ oneOf: list(100, (i) => ({ const: i })) }))),
  prefixItems: (n) => schema({ type: 'array', prefixItems: list(n, () => ({ type: 'null' })) }),
  minItems: (n) => schema({ type: 'array', items: { type: 'null' }, minItems: n }),
  maxProperties: (n) =>
    object(
      named(n, () => ({})),
      { minProperties: n >> 1, maxProperties: n - 1 },
    ),
  'a long name': (n) => object({ ['x'.repeat(n)]: {} }, { additionalProperties: true }),
  'a long const': (n) => schema({ const: 'x'.repeat(n) }),
  'a long list': (n) => schema({ const: list(n, () => 1) }),
  'many patterns': (n) => object(named(n / 100, (k) => ({ type: 'string', pattern: costly(k) }))),
  'many patterns of constants': (n) =>
    object(named(n / 100, (k) => ({ type: 'string', const: 'x', pattern: costly(k) }))),
  'many patterns of names': (n) =>
    object(
      named(n / 100, (k) => ({
        type: 'object',
        const: named(9, () => 1),
        patternProperties: { [costly(k)]: {} },
      })),
    ),
  // JavaScript's own way to match these takes 2^n steps.
  'a pattern that backtracks': (n) =>
    schema({ enum: [`${'a'.repeat(n)}!`, 'aa'], pattern: '^(a+)+$' }),
  'a format that backtracks': (n) => schema({ enum: ['a.'.repeat(n), 'a@b.c'], format: 'email' }),
  'a regex without an operator': (n) => regex('a'.repeat(n * 4)),
  'a class of many characters': (n) => regex(`[${'ab'.repeat(n * 2)}]`),
  'a grammar, one long sequence': (n) => ebnf(`root ::= ${'"a"'.repeat(n)}`),
  'a chain of anyOf': (n) =>
    schema({
      $defs: named(n, (i) => ({
        anyOf: [i + 1 < n ? { $ref: `#/$defs/p${i + 1}` } : { type: 'null' }],
      })),
      $ref: '#/$defs/p0',
    }),
  'a chain of constants': (n) =>
    schema({
      const: 1,
      $defs: named(n, (i) => ({ oneOf: [i + 1 < n ? { $ref: `#/$defs/p${i + 1}` } : {}] })),
      allOf: [{ $ref: '#/$defs/p0' }],
    }),
  'a wide allOf': (n) => schema({ allOf: list(n, () => ({})) }),
  'a regex with many states': (n) => regex(`(a|b)*a(a|b){${n / 1000}}`),
};

/** Of the processor; each takes a small part of the budget that a check has: half of this. */
const MAX_MS = 10_000;

it.each(Object.keys(GRAMMARS))('%s: known or refused, in time', async (name) => {
  for (const n of [1000, 5000, 20_000, 100_000]) {
    const spec = GRAMMARS[name](n);
    const spent = await processorMs(() => {
      try {
        grammarText(spec);
      } catch (error) {
        if (!(error instanceof OctavoError)) throw error;
        expect([n, error.kind]).toEqual([n, 'invalid_request']);
      }
    });
    expect(spent).toBeLessThan(MAX_MS);
  }
});
