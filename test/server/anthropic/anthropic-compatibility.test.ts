import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import {
  CountTokensSchema,
  IGNORED_MESSAGE_FIELDS,
  MessageSchema,
  UNSUPPORTED_MESSAGE_FIELDS,
} from '../../../server/anthropic/message-fields.js';

const page = readFileSync(
  new URL('../../../docs/anthropic-compatibility.md', import.meta.url),
  'utf8',
);

/** What the page says is done with each parameter. */
const said = new Map(
  page
    .split('\n')
    .filter((line) => line.startsWith('| `'))
    .flatMap((line) => {
      const [, names = '', status = ''] = line.split('|').map((cell) => cell.trim());
      return [...names.matchAll(/`(\w+)`/g)].map(([, name]): [string, string] => [
        name ?? '',
        status,
      ]);
    }),
);

test('docs/anthropic-compatibility.md names every parameter, and what is done with it', () => {
  const yes = Object.keys(MessageSchema.properties).map((name): [string, string] => [
    name,
    name === 'thread' ? 'refused' : 'yes',
  ]);
  const refused = Object.entries(UNSUPPORTED_MESSAGE_FIELDS).map(
    ([name, isNeutral]): [string, string] => {
      if (isNeutral(1)) return [name, 'refused (1)'];
      return [name, isNeutral([]) ? 'refused (empty)' : 'refused'];
    },
  );
  const ignored = IGNORED_MESSAGE_FIELDS.map((name): [string, string] => [name, 'ignored']);
  expect(Object.fromEntries(said)).toEqual(Object.fromEntries([...yes, ...refused, ...ignored]));
});

test('what is counted has the fields of what is generated', () => {
  const names = Object.keys(CountTokensSchema.properties);
  expect(Object.keys(MessageSchema.properties)).toEqual(expect.arrayContaining(names));
});
