import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it, onTestFinished } from 'vitest';
import { readGgufCheckpoint } from '../../../engine/checkpoint/gguf-files.js';
import { gguf, text } from '../../support/gguf.js';

it('reads the metadata of a file once, and again when it has changed', () => {
  const dir = mkdtempSync(join(tmpdir(), 'octavo-test-'));
  onTestFinished(() => rmSync(dir, { recursive: true, force: true }));
  const file = join(dir, 'model.gguf');
  const write = (architecture: string): void =>
    writeFileSync(
      file,
      gguf({ metadata: [['general.architecture', text(architecture)]], tensors: [] }),
    );
  write('llama');
  const first = readGgufCheckpoint(file);
  expect(readGgufCheckpoint(file)).toBe(first);
  write('qwen2');
  expect(readGgufCheckpoint(file).metadata.get('general.architecture')).toBe('qwen2');
  rmSync(file);
  expect(() => readGgufCheckpoint(file)).toThrow('cannot be read');
});
