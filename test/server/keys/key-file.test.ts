import { expect, test } from 'vitest';
import { keyFileOf, parseKeys } from '../../../server/keys/key-file.js';

const read = (text: string) => parseKeys(text, 'keys.yaml');

test('keys have names, scopes and limits; a file that is written holds digests alone', () => {
  const keys = read(`
keys:
  - name: alice
    key: sk-secret
    scopes: [inference, metrics]
    requests-per-minute: 60
    concurrent: 0
  - {name: bob@example.com, sha256: "${'0'.repeat(64)}"}
`);
  expect(keys).toMatchObject([
    { name: 'alice', scopes: ['inference', 'metrics'], limits: { requestsPerMinute: 60 } },
    { name: 'bob@example.com', scopes: ['inference'], limits: {} },
  ]);
  const written = keyFileOf(keys);
  expect(written).not.toContain('sk-secret');
  expect(read(written)).toEqual(keys);
  expect(read(JSON.stringify({ keys: [{ name: 'a', key: 'x' }] }))).toHaveLength(1);
});

const one = (fields: string): string => `keys:\n  - {name: a, key: sk-secret, ${fields}}\n`;

test.each([
  ['', ':1: must have one entry, keys, with a list of keys'],
  ['keys: []', ':1: has no key'],
  ['- a', ':1: must have one entry, keys, with a list of keys'],
  ['keys: [', ':1: is no YAML'],
  ['keys:\n  - sk-secret', ':2: a key must have a name, and key or sha256'],
  ['keys:\n  - key: sk-secret', ':2: name must be 1 to 64 letters'],
  ['keys:\n  - name: a', ':2: key a: must have either key or sha256'],
  [one('sha256: x'), ':2: key a: must have either key or sha256'],
  ['keys:\n  - {name: a, sha256: 12}', 'sha256 must be 64 hexadecimal digits'],
  ['keys:\n  - {name: a, key: "sk secret"}', 'key must be a text without spaces'],
  [one('scopes: [admin]'), 'scopes must be a list of one or more of inference, manage, metrics'],
  [one('scopes: []'), 'scopes must be a list of one or more of'],
  [one('tokens-per-minute: -1'), 'tokens-per-minute must be a whole number; 0: any number'],
  [one('limit: 1'), ':2: limit is no field of a key: must be one of name, key, sha256, scopes,'],
  [`${one('concurrent: 1')}  - {name: a, key: b}`, ':3: two keys are called a'],
  [`${one('concurrent: 1')}  - {name: b, key: sk-secret}`, ':3: b is the same key as a'],
])('%j is refused with its line, and without the key', (text, message) => {
  const attempt = (): unknown => read(text);
  expect(attempt).toThrow('--keys-file keys.yaml:');
  expect(attempt).toThrow(message);
  expect(attempt).not.toThrow(/secret/);
});
