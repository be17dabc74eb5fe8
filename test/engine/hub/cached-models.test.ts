import { existsSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import {
  type CachedWeights,
  cachedModels,
  removalOf,
  remove,
  weightsOfRepository,
} from '../../../engine/hub/cached-models.js';
import { hubName } from '../../../engine/hub/hub-id.js';
import { COMMIT } from '../../support/hub-models.js';
import { ID, startTestHub } from './test-hub.js';

const shown = ({ id, format, bytes, isComplete }: CachedWeights): unknown[] => [
  hubName(id),
  format,
  bytes,
  isComplete,
];

const QUANTIZED = ['m-Q4_0-00001-of-00002.gguf', 'm-Q4_0-00002-of-00002.gguf', 'm-Q8_0.gguf'];

async function pulled() {
  const files = new Map(QUANTIZED.map((name, i) => [name, Buffer.alloc(1000 + i)]));
  const test = await startTestHub({ commit: COMMIT, files });
  for (const quantization of ['Q4_0', 'Q8_0']) await test.fetch({}, {}, { ...ID, quantization });
  return { ...test, cacheDir: test.settings.cacheDir };
}

it('lists weights by name, format and size, whatever other tools have put there', async () => {
  const { cacheDir, dir } = await pulled();
  mkdirSync(join(cacheDir, 'datasets--a--b/snapshots/x'), { recursive: true });
  const other = join(cacheDir, 'models--a--b--c', 'snapshots', 'f'.repeat(40));
  mkdirSync(other, { recursive: true });
  writeFileSync(join(other, 'pytorch_model.bin'), 'x');
  symlinkSync('../../blobs/gone', join(other, 'model.safetensors'));
  expect((await cachedModels(cacheDir)).map(shown)).toEqual([
    [`a/b--c@${'f'.repeat(40)}`, 'safetensors', 0, false],
    ['octavo/small:Q4_0', 'GGUF Q4_0', 2001, true],
    ['octavo/small:Q8_0', 'GGUF Q8_0', 1002, true],
  ]);
  expect(existsSync(dir)).toBe(true);
});

it('removes what belongs to one quantization, and keeps what another has, too', async () => {
  const { cacheDir, fetch } = await pulled();
  const [q4, q8] = await weightsOfRepository(cacheDir, ID.repo);
  // Equal contents are one blob.
  const shared = join(q8.dir, 'copy-Q8_0.gguf');
  const { paths: all } = await removalOf(cacheDir, ID.repo, [q8]);
  const blob = all.find((path) => path.includes('/blobs/')) ?? '';
  symlinkSync(blob, shared);
  const removal = await removalOf(cacheDir, ID.repo, [q4]);
  expect([removal.paths.length, removal.bytes]).toEqual([4, 2001]);
  await remove(removal);
  await remove(await removalOf(cacheDir, ID.repo, [q8]));
  expect(existsSync(blob)).toBe(true);
  const left = await cachedModels(cacheDir);
  expect(left.map(({ weights }) => weights.file)).toEqual(['copy-Q8_0.gguf']);
  await fetch({}, {}, { ...ID, quantization: 'Q4_0' });
  expect(await cachedModels(cacheDir)).toHaveLength(2);
});

it('never names a file outside of the repository, wherever a link leads', async () => {
  const { cacheDir, dir } = await pulled();
  const outside = join(cacheDir, 'shared-blob');
  writeFileSync(outside, 'of other repositories');
  const snapshot = join(dir, 'snapshots', COMMIT);
  symlinkSync(outside, join(snapshot, 'm-F16.gguf'));
  const models = await weightsOfRepository(cacheDir, ID.repo);
  const chosen = models.filter(({ format }) => format === 'GGUF F16');
  expect(await removalOf(cacheDir, ID.repo, chosen)).toEqual({
    paths: [join(snapshot, 'm-F16.gguf')],
    bytes: 0,
  });
  expect(await removalOf(cacheDir, ID.repo, null)).toEqual({ paths: [dir], bytes: 3003 + 40 });
});
