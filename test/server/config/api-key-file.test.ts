import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { loadSettings, withKeysOfFile } from '../../../server/config/load-settings.js';
import { runOctavo, startOctavo } from '../../support/octavo-process.js';

function keyFile(text: string): string {
  const directory = mkdtempSync(join(tmpdir(), 'octavo-keys-'));
  onTestFinished(() => rmSync(directory, { recursive: true }));
  const path = join(directory, 'keys');
  writeFileSync(path, text);
  chmodSync(path, 0o400);
  return path;
}

const keysOf = (text: string, more: string[] = []): string[] =>
  withKeysOfFile(loadSettings({ apiKeyFile: [keyFile(text)], apiKey: more }, {})).apiKey;

test('a key a line, beside those of --api-key', () => {
  expect(keysOf('# of the office\nsk-a\r\n\n  sk-b\n', ['sk-c'])).toEqual(['sk-c', 'sk-a', 'sk-b']);
});

test.each([
  ['', /^--api-key-file \S+: has no key: must have one a line$/],
  ['# none\n\n', /has no key/],
  ['sk-a\nsk-b secret\n', /^--api-key-file \S+: line 2: must be one key, without spaces$/],
])('%j is refused, without the key', (text, message) => {
  expect(() => keysOf(text)).toThrow(message);
  expect(() => keysOf(text)).not.toThrow(/secret/);
});

test('a server asks for the keys of its file, and does not start without it', async () => {
  const { url } = await startOctavo(['--api-key-file', keyFile('sk-file\n')]);
  const status = async (key: string): Promise<number> =>
    (await fetch(`${url}/v1/models`, { headers: { authorization: `Bearer ${key}` } })).status;
  expect(await status('sk-file')).toBe(200);
  expect(await status('sk-other')).toBe(401);
  const result = await runOctavo(['serve', '--port', '0', '--api-key-file', '/does/not/exist']);
  expect(result).toEqual({
    code: 2,
    stdout: '',
    stderr: 'octavo: --api-key-file /does/not/exist: cannot be read (ENOENT)\n',
  });
});
