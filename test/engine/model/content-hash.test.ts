import { mkdirSync, readFileSync, statSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { create, toBinary } from '@bufbuild/protobuf';
import { expect, it } from 'vitest';
import {
  GraphProtoSchema,
  ModelProtoSchema,
  StringStringEntryProtoSchema,
  TensorProto_DataLocation,
  TensorProtoSchema,
} from '../../../engine/importer/onnx/onnx_pb.js';
import {
  type ContentHashOptions,
  contentHash,
  type HashFiles,
} from '../../../engine/model/content-hash.js';
import { contentFiles } from '../../../engine/model/open-model.js';
import { modelDir } from '../../support/model-dir.js';
import { loadTiny } from '../../support/octavo-tiny.js';

const never = new AbortController().signal;
const hashed = async (dir: string, more: Partial<ContentHashOptions> = {}): Promise<string> =>
  contentHash(await contentFiles({ modelDir: dir }), { cacheDir: null, signal: never, ...more });

/** A model file with one weight in a file beside it. */
function externalWeights(location: string, producerName = 'test'): Uint8Array {
  const weight = create(TensorProtoSchema, {
    name: 'weight',
    dims: [1n],
    dataType: 1,
    dataLocation: TensorProto_DataLocation.EXTERNAL,
    externalData: [create(StringStringEntryProtoSchema, { key: 'location', value: location })],
  });
  const graph = create(GraphProtoSchema, { initializer: [weight] });
  return toBinary(ModelProtoSchema, create(ModelProtoSchema, { producerName, graph }));
}

/** A model file that names one file of weights, and that file. */
const model = (weights: string): string =>
  modelDir({ 'model.onnx': externalWeights('weights.data'), 'weights.data': weights });

it('is of graph and weights, not of path, size and time', async () => {
  const [a, same, retrained] = [model('1234'), model('1234'), model('1235')];
  const { atime, mtime } = statSync(join(a, 'weights.data'));
  utimesSync(join(retrained, 'weights.data'), atime, mtime);
  expect(await hashed(same)).toBe(await hashed(a));
  expect(await hashed(retrained)).not.toBe(await hashed(a));
  writeFileSync(join(same, 'model.onnx'), externalWeights('weights.data', 'another producer'));
  expect(await hashed(same)).not.toBe(await hashed(a));
});

it('hashes a file once, and again when it was written, even with its time set back', async () => {
  const asked: string[][] = [];
  const hashFiles: HashFiles = (paths) => {
    asked.push(paths.map((path) => path.split('/').at(-1) ?? ''));
    return Promise.resolve(
      paths.map((path) => readFileSync(path).toString('hex').padEnd(64, '0').slice(0, 64)),
    );
  };
  const dir = model('1234');
  const cacheDir = join(dir, 'cache', 'octavo');
  const options = { cacheDir, hashFiles };
  const first = await hashed(dir, options);
  expect(await hashed(dir, options)).toBe(first);
  expect(asked).toEqual([['model.onnx', 'weights.data']]);
  const { atime, mtime } = statSync(join(dir, 'weights.data'));
  writeFileSync(join(dir, 'weights.data'), '1235');
  utimesSync(join(dir, 'weights.data'), atime, mtime);
  await hashed(dir, options);
  expect(asked).toEqual([['model.onnx', 'weights.data'], ['weights.data']]);
});

it('needs no directory that can be written', async () => {
  const dir = model('1234');
  expect(await hashed(dir, { cacheDir: '/proc/octavo/cache' })).toBe(await hashed(dir));
  expect(await hashed(dir, { cacheDir: join(dir, 'model.onnx') })).toBe(await hashed(dir));
});

it('says which file is missing or none, and ends when it is told to', async () => {
  const dir = modelDir({ 'model.onnx': externalWeights('weights.data') });
  await expect(hashed(dir)).rejects.toThrow(/weights\.data: cannot be read/);
  mkdirSync(join(dir, 'weights.data'));
  await expect(hashed(dir)).rejects.toThrow(/weights\.data: is not a file/);
  const stopped = new AbortController();
  const work = hashed(model('1234'), { signal: stopped.signal });
  stopped.abort(new Error('enough'));
  await expect(work).rejects.toThrow('enough');
});

it("an engine's fingerprint is the same at another path, and another after a weight has changed", async () => {
  const tiny = fileURLToPath(new URL('../../../models/octavo-tiny', import.meta.url));
  const bytes = readFileSync(join(tiny, 'onnx/model.onnx'));
  const copy = (onnx: Uint8Array): string => {
    const dir = modelDir({
      'model.onnx': onnx,
      'config.json': readFileSync(join(tiny, 'config.json')),
    });
    return dir;
  };
  const changed = Uint8Array.from(bytes);
  // Deep inside of a weight: size, graph and all shapes stay.
  changed[Math.floor(bytes.length / 2)] ^= 1;
  const fingerprints: string[] = [];
  for (const dir of [tiny, copy(bytes), copy(changed)]) {
    const { modelFingerprint, runner } = await loadTiny({ modelDir: dir, threads: 1 });
    fingerprints.push(modelFingerprint);
    await runner.dispose();
  }
  expect(fingerprints[1]).toBe(fingerprints[0]);
  expect(fingerprints[2]).not.toBe(fingerprints[0]);
});
