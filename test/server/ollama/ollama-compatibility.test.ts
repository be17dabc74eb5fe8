import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import {
  EmbeddingsSchema,
  EmbedSchema,
  GenerateSchema,
  OllamaChatSchema,
} from '../../../server/ollama/fields.js';
import { IGNORED_OPTIONS, OptionsSchema } from '../../../server/ollama/options.js';

const page = readFileSync(
  new URL('../../../docs/ollama-compatibility.md', import.meta.url),
  'utf8',
);
const [, chats, options] = page.split(/^## /m);

/** The cells behind each name of a table's first column. */
function cellsOf(text: string): Map<string, string[]> {
  const rows = text.split('\n').filter((line) => line.startsWith('| `'));
  return new Map(
    rows.flatMap((line) => {
      const [, names, ...cells] = line.split('|').map((cell) => cell.trim());
      return [...names.matchAll(/`(\w+)`/g)].map(([, name]): [string, string[]] => [name, cells]);
    }),
  );
}

test('docs/ollama-compatibility.md names every parameter of chats and texts', () => {
  const said = cellsOf(chats);
  const known = (column: 0 | 1): string[] =>
    [...said].flatMap(([name, cells]) => (cells[column] === '' ? [] : [name])).toSorted();
  // In chats, they are in messages.
  expect(known(0)).toEqual([...Object.keys(OllamaChatSchema.properties), 'images'].toSorted());
  expect(known(1)).toEqual(Object.keys(GenerateSchema.properties).toSorted());
});

test('the page names every option', () => {
  const said = cellsOf(options);
  const isIgnored = (name: string): boolean => said.get(name)?.[0] === 'ignored';
  const names = [...said.keys()].toSorted();
  expect(names.filter((name) => !isIgnored(name))).toEqual(
    Object.keys(OptionsSchema.properties).toSorted(),
  );
  expect(names.filter(isIgnored)).toEqual([...IGNORED_OPTIONS].toSorted());
});

test('the page names the parameters of embeddings', () => {
  const names = [EmbedSchema, EmbeddingsSchema].flatMap(({ properties }) =>
    Object.keys(properties),
  );
  expect(names.filter((name) => !chats.includes(`\`${name}\``))).toEqual([]);
});
