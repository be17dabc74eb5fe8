import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { readPrefixFile } from '../../../server/prefixes/prefix-file.js';

const directory = mkdtempSync(join(tmpdir(), 'octavo-prefixes-'));
let files = 0;

const read = (text: string) => {
  const path = join(directory, `${files++}.json`);
  writeFileSync(path, text);
  return readPrefixFile(path, '--flag', ['name', 'prompt']);
};

const A = { name: 'a', prompt: 'x' };
const B = { name: 'b', prompt: [1, 2] };
const entries = [A, B].map((body) => ({ name: body.name, body }));

test.each([
  ['an array', JSON.stringify([A, B], null, 2)],
  ['lines', `${JSON.stringify(A)}\n\n${JSON.stringify(B)}\n`],
])('%s', (_, text) => {
  expect(read(text)).toEqual(entries);
});

test('one object', () => {
  expect(read(JSON.stringify(A, null, 2))).toEqual([entries[0]]);
});

test.each([
  ['', /has no prefix/],
  ['[]', /has no prefix/],
  ['{"name": "a"', /must be a JSON array of objects, or one JSON object a line/],
  ['[1]', /entry 1 must be an object with name, and prompt or messages/],
  ['{"prompt": "x"}', /entry 1: name must be a text/],
  [
    `${JSON.stringify(A)}\n{"name": "b", "promt": "x"}`,
    /entry 2: promt is no field .* name, prompt$/,
  ],
  [JSON.stringify([A, B, A]), /two prefixes are called a/],
])('%j is no file of prefixes', (text, message) => {
  expect(() => read(text)).toThrow(message);
  expect(() => read(text)).toThrow(/^--flag \S+\.json: /);
});

test('a file that is not there', () => {
  expect(() => readPrefixFile('/nonexistent.json', '--flag', [])).toThrow(
    '--flag /nonexistent.json: cannot be read (ENOENT)',
  );
});
