import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it, onTestFinished } from 'vitest';
import { PACKED_FORMATS } from '../../../engine/checkpoint/packed/index.js';
import { findModel } from '../../../engine/hub/find-model.js';
import { ExportRunner } from '../../support/export-fixtures.js';
import { packedGguf } from '../../support/packed-gguf.js';

const observer = { log: () => undefined, progress: () => undefined };

function directory(): string {
  const dir = mkdtempSync(join(tmpdir(), 'octavo-test-'));
  onTestFinished(() => rmSync(dir, { recursive: true, force: true }));
  return dir;
}

it.each([...PACKED_FORMATS.keys()])(
  'computes with weights of %s as with the floats that they mean',
  async (type) => {
    const dir = directory();
    const file = await packedGguf(dir, type);
    const run = async (model: string, options = {}) => {
      const runner = await ExportRunner.load(model, options);
      onTestFinished(() => runner.dispose());
      return (await runner.generate([[1, 5, 9, 3, 17, 30]], 4, 24))[0];
    };
    const expected = await run(dir);
    const cacheDir = join(dir, 'cache');
    mkdirSync(cacheDir);
    const size = Math.max(...expected.first.map(Math.abs));
    for (const options of [{}, { widen: { cacheDir } }]) {
      const { first } = await run(file, options);
      const worst = first.reduce((max, x, i) => Math.max(max, Math.abs(x - expected.first[i])), 0);
      expect(worst / size).toBeLessThan(2e-3);
    }
  },
);

it('finds the one GGUF file of a directory, and the first of its parts', async () => {
  const find = (path: string) => findModel(path, '--model', { dtype: 'auto' }, observer);
  const dir = directory();
  for (const name of ['m-00001-of-00002.gguf', 'm-00002-of-00002.gguf', 'mmproj-m.gguf']) {
    writeFileSync(join(dir, name), '');
  }
  expect((await find(dir)).dir).toBe(join(dir, 'm-00001-of-00002.gguf'));
  expect(await find(join(dir, 'm-00001-of-00002.gguf'))).toEqual({
    dir: join(dir, 'm-00001-of-00002.gguf'),
    names: ['m'],
  });
  writeFileSync(join(dir, 'other.gguf'), '');
  await expect(find(dir)).rejects.toThrow(
    'has 2 GGUF models; name one of the files: m-00001-of-00002.gguf, other.gguf',
  );
});
