import { readFileSync } from 'node:fs';
import type { TObject } from 'typebox';
import { describe, expect, test } from 'vitest';
import { IGNORED_FIELDS } from '../../../server/openai/fields/request-fields.js';
import {
  type NeutralValues,
  UNSUPPORTED_FIELDS,
} from '../../../server/openai/fields/unsupported-fields.js';
import {
  ResponseSchema,
  UNSUPPORTED_RESPONSE_FIELDS,
} from '../../../server/openai/responses/response-fields.js';
import { ChatSchema } from '../../../server/routes/chat-completions.js';
import { CompletionSchema } from '../../../server/routes/completions.js';
import { EmbeddingSchema } from '../../../server/routes/embeddings.js';
import { DetokenizeSchema, TokenizeSchema } from '../../../server/routes/tokenize.js';

const page = readFileSync(
  new URL('../../../docs/openai-compatibility.md', import.meta.url),
  'utf8',
);

/** Cells of the table under a heading, one row for each parameter. */
function tableOf(heading: string): Map<string, readonly string[]> {
  const section = page.split(`## ${heading}\n`)[1]?.split('\n#')[0] ?? '';
  const rows = section.split('\n').filter((line) => line.startsWith('| `'));
  const cells = rows.map((row) => row.split('|').map((cell) => cell.trim()));
  return new Map(
    cells.flatMap(([, names, ...rest]) =>
      [...(names?.matchAll(/`(\w+)`/g) ?? [])].map(([, name]): [string, string[]] => [
        name ?? '',
        rest,
      ]),
    ),
  );
}

/** What the schemas say of a parameter. */
function statusOf(
  field: string,
  schema: TObject,
  unsupported: NeutralValues = UNSUPPORTED_FIELDS,
): string {
  const own: unknown = schema.properties[field];
  // An endpoint may do something with a field that others ignore; it then has a schema of its own
  // for it.
  const ignored = Object.entries(IGNORED_FIELDS).find(([name]) => name === field)?.[1];
  if (ignored !== undefined && (own === undefined || own === ignored)) return 'ignored';
  if (own !== undefined) return 'yes';
  return Object.hasOwn(unsupported, field) ? 'refused' : '';
}

describe('docs/openai-compatibility.md', () => {
  const table = tableOf('Chat completions and completions');
  const schemas = [ChatSchema, CompletionSchema];

  test('names every parameter of the schemas, and no other', () => {
    const known = new Set([
      ...schemas.flatMap(({ properties }) => Object.keys(properties)),
      ...Object.keys(UNSUPPORTED_FIELDS),
    ]);
    expect([...table.keys()].sort()).toEqual([...known].sort());
  });

  test.each(['chat', 'completions'])('says what %s does with each', (endpoint) => {
    const column = endpoint === 'chat' ? 0 : 1;
    for (const [field, cells] of table) {
      const said = cells[column]?.split(' ')[0];
      expect([field, said]).toEqual([field, statusOf(field, schemas[column] as TObject)]);
    }
  });

  /** What the words in brackets stand for. */
  const NEUTRAL: Readonly<Record<string, readonly unknown[]>> = {
    empty: ['', [], {}],
    true: [true],
    false: [false],
    0: [0],
    1: [1],
    text: [['text'], { type: 'text' }],
  };

  test.each(['chat', 'completions'])('says what asks %s for nothing', (endpoint) => {
    const column = endpoint === 'chat' ? 0 : 1;
    for (const [field, cells] of table) {
      const cell = cells[column] ?? '';
      const isNeutral = UNSUPPORTED_FIELDS[field];
      if (!isNeutral || !cell.startsWith('refused')) continue;
      const word = /\((.*)\)/.exec(cell)?.[1]?.replaceAll('`', '');
      const values = word === undefined ? [] : (NEUTRAL[word] ?? [word]);
      expect([field, values.some(isNeutral)]).toEqual([field, word !== undefined]);
      const others = Object.entries(NEUTRAL).filter(([name]) => name !== word);
      expect([field, others.flatMap(([, theirs]) => theirs).filter(isNeutral)]).toEqual([
        field,
        [],
      ]);
    }
  });
});

describe('docs/openai-compatibility.md, the other endpoints', () => {
  const ENDPOINTS: [string, TObject[], NeutralValues][] = [
    ['Responses', [ResponseSchema], UNSUPPORTED_RESPONSE_FIELDS],
    ['Embeddings', [EmbeddingSchema], UNSUPPORTED_FIELDS],
    ['Tokens', [TokenizeSchema, DetokenizeSchema], UNSUPPORTED_FIELDS],
  ];

  test.each(ENDPOINTS)(
    '%s: every parameter, and what is done with it',
    (heading, schemas, refused) => {
      const table = tableOf(heading);
      const known = schemas.flatMap(({ properties }) => Object.keys(properties));
      if (refused === UNSUPPORTED_RESPONSE_FIELDS) known.push(...Object.keys(refused));
      expect([...table.keys()]).toEqual(expect.arrayContaining(known));
      for (const [field, cells] of table) {
        const said = schemas.map((_, column) => cells[column]?.split(' ')[0]);
        const [first, ...others] = schemas.map((schema) => statusOf(field, schema, refused));
        // Only the first endpoint of a table refuses what another one may have.
        const expected = [first, ...others.map((status) => (status === 'refused' ? '' : status))];
        expect([field, ...said]).toEqual([field, ...expected]);
      }
    },
  );
});
