import { copyFileSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll } from 'vitest';

const FIXTURES = new URL('../fixtures/tokenizers/tokenizers/', import.meta.url);

/**
 * A directory with one of the fixtures as its tokenizer.json, gone when the file's tests are over.
 */
export function tokenizerDir(name: string): string {
  const dir = mkdtempSync(join(tmpdir(), 'octavo-tokenizer-'));
  afterAll(() => rmSync(dir, { recursive: true, force: true }));
  copyFileSync(fileURLToPath(new URL(`${name}.json`, FIXTURES)), join(dir, 'tokenizer.json'));
  return dir;
}
