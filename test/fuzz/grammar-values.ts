import fc from 'fast-check';
import { schemaArbitrary } from '../engine/grammar/schema-arbitrary.js';

const pieces = fc.constantFrom(
  'a',
  'é',
  '猫',
  '😀',
  '.',
  '\\d',
  '\\w+',
  '\\s',
  '[a-z]',
  '[^"\\\\]',
  '(?:x|yy)',
  '(a|b)*',
  'a{2,5}',
  '\\u0041',
  '\\n',
  '[\\u4e00-\\u9fff]{1,3}',
);

/** Regular expressions: mostly ones that compile, some that are none or that cannot be enforced. */
export const regexes: fc.Arbitrary<string> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.array(pieces, { minLength: 1, maxLength: 5 }).map((parts) => parts.join('')),
  },
  {
    weight: 1,
    arbitrary: fc.constantFrom(
      '',
      '(',
      'a**',
      '(?=a)b',
      '\\1',
      '\\p{L}',
      '[',
      'a{999}',
      '^a$b',
      '\0',
    ),
  },
);

const symbols = fc.constantFrom(
  '"a"',
  '[a-z]',
  '"é"',
  '[^\\n]',
  'item',
  '"x" | "y"',
  '("b")*',
  '"c"?',
  '[0-9]+',
  '"d"{2,3}',
);

/** Grammars in EBNF; a rule may lead to itself, or nowhere. */
export const grammars: fc.Arbitrary<string> = fc
  .tuple(
    fc.array(symbols, { minLength: 1, maxLength: 4 }),
    fc.array(symbols, { minLength: 1, maxLength: 3 }),
    fc.boolean(),
  )
  .map(
    ([root, item, isBroken]) =>
      `root ::= ${root.join(' ')}\n${isBroken ? '' : `item ::= "i" | ${item.join(' ')}`}`,
  );

const choices = fc.array(
  fc.constantFrom('yes', 'no', 'é', '😀😀', '', ' a', '\n', 'a'.repeat(50)),
  {
    minLength: 1,
    maxLength: 4,
  },
);

const schemas = fc.oneof(
  { weight: 6, arbitrary: schemaArbitrary },
  {
    weight: 1,
    arbitrary: fc.constantFrom(
      {},
      { not: {} },
      { type: 'text' },
      { enum: [] },
      { $ref: '#' },
      { uniqueItems: true },
    ),
  },
);

/** Fields that ask for a form of the output, by their names. */
export const GRAMMAR_FIELDS: Readonly<Record<string, fc.Arbitrary<unknown>>> = {
  response_format: fc.oneof(
    fc.constant({ type: 'json_object' }),
    schemas.map((schema) => ({ type: 'json_schema', json_schema: { name: 'x', schema } })),
  ),
  guided_json: fc.oneof(
    schemas,
    schemas.map((schema) => JSON.stringify(schema)),
  ),
  guided_regex: regexes,
  guided_choice: choices,
  guided_grammar: grammars,
  structured_outputs: fc.oneof(
    schemas.map((json) => ({ json })),
    regexes.map((regex) => ({ regex })),
    choices.map((choice) => ({ choice })),
    grammars.map((grammar) => ({ grammar })),
  ),
};
