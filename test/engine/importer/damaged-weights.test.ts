import { truncateSync } from 'node:fs';
import { chmod, mkdir, readdir, rename, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { create, toBinary } from '@bufbuild/protobuf';
import { Tensor } from 'onnxruntime-node';
import { describe, expect, it } from 'vitest';
import { importModel } from '../../../engine/importer/import-model.js';
import {
  type ModelProto,
  ModelProtoSchema,
  StringStringEntryProtoSchema,
  type TensorProto,
  TensorProto_DataLocation,
} from '../../../engine/importer/onnx/onnx_pb.js';
import { modelDir } from '../../support/model-dir.js';
import { tinyDecoder } from '../../support/tiny-decoder.js';
import { firstSession } from './first-session.js';
import { failure, type ImportFailure, importFailure } from './import-failure.js';

const BYTES = 40 * 24 * 4;

const encode = (model: ModelProto): Uint8Array => toBinary(ModelProtoSchema, model);

/** The test decoder with a change to its embedding, 40 x 24 floats. */
function withEmbedding(change: (tensor: TensorProto) => void): ModelProto {
  const model = tinyDecoder().build();
  const tensor = model.graph?.initializer.find(({ name }) => name === 'embedding');
  if (!tensor) throw new Error('no embedding');
  change(tensor);
  return model;
}

/** The test decoder with its embedding in another file. */
function external(entries: Readonly<Record<string, string>>): Uint8Array {
  return encode(
    withEmbedding((tensor) => {
      tensor.rawData = new Uint8Array();
      tensor.dataLocation = TensorProto_DataLocation.EXTERNAL;
      tensor.externalData = Object.entries(entries).map(([key, value]) =>
        create(StringStringEntryProtoSchema, { key, value }),
      );
    }),
  );
}

function externalFailure(entries: Readonly<Record<string, string>>): Promise<ImportFailure> {
  return importFailure(
    modelDir({ 'model.onnx': external(entries), 'w.bin': new Uint8Array(2 * BYTES) }),
  );
}

/** What segment 0 makes of the embedding: an ONNX Runtime session has found it. */
async function expectRuns(directory: string): Promise<void> {
  const model = await importModel({ modelDir: directory });
  const session = await firstSession(model);
  const ids = new Tensor('int64', BigInt64Array.of(1n), [1, 1]);
  expect((await session.run({ input_ids: ids }))['l0/q/out'].dims).toEqual([1, 1, 128]);
  await session.release();
}

describe('weights in the model file', () => {
  it('are refused when their bytes do not fit their shape', async () => {
    const damages: ((tensor: TensorProto) => void)[] = [
      (tensor) => (tensor.rawData = tensor.rawData.slice(0, 100)),
      (tensor) => (tensor.rawData = new Uint8Array()),
      (tensor) => (tensor.dims = [-40n, 24n]),
      (tensor) => (tensor.dims = [-40n, -24n]),
      (tensor) => (tensor.dims = [40n, 25n]),
    ];
    for (const damage of damages) {
      const { kind, message } = await failure(encode(withEmbedding(damage)));
      expect(kind).toBe('model_file_corrupt');
      expect(message).toContain('model.onnx: weight embedding');
    }
  });

  it('are refused when the end of the file is gone, byte by byte', async () => {
    const bytes = tinyDecoder().bytes();
    for (let missing = 1; missing <= 80; missing++) {
      const { kind } = await failure(bytes.slice(0, bytes.length - missing));
      expect(kind).toBe('model_file_corrupt');
    }
  });

  it('are refused when two nodes make the same tensor', async () => {
    const b = tinyDecoder();
    b.node('Neg', 'twice', ['l0/q/out'], { outputs: ['l0/k/out'] });
    const { kind, message } = await failure(b.bytes());
    expect(kind).toBe('model_file_corrupt');
    expect(message).toContain('l0/k/out');
  });
});

describe('a file with flipped bytes', () => {
  it('ends in a model or in one line, whatever was hit', async () => {
    const bytes = tinyDecoder({ packed: true, rotary: 'halves', sinks: true }).bytes();
    let seed = 1;
    const random = (): number => {
      seed = (Math.imul(seed, 1_664_525) + 1_013_904_223) >>> 0;
      return seed / 2 ** 32;
    };
    const outcomes = { models: 0, refusals: 0 };
    for (let i = 0; i < 150; i++) {
      const damaged = bytes.slice();
      // Nodes stand at the beginning, weights at the end: the cube prefers nodes.
      for (let hits = 0; hits < 2; hits++) {
        damaged[Math.floor(random() ** 3 * bytes.length)] = Math.floor(random() * 256);
      }
      const directory = modelDir({ 'model.onnx': damaged });
      const result: unknown = await importModel({ modelDir: directory }).catch((e: unknown) => e);
      if (result instanceof Error) {
        expect(result.name).toBe('OctavoError');
        outcomes.refusals += 1;
      } else outcomes.models += 1;
    }
    expect(outcomes.models).toBeGreaterThan(10);
    expect(outcomes.refusals).toBeGreaterThan(10);
  });
});

describe('weights in another file', () => {
  it.each([
    ['offset', 'abc'],
    ['offset', '-8'],
    ['offset', '1.5'],
    ['offset', ''],
    ['length', '0x10'],
    ['length', '-1'],
  ])('are refused when their %s is %j', async (key, value) => {
    const { kind, message } = await externalFailure({
      location: 'w.bin',
      offset: '0',
      length: String(BYTES),
      [key]: value,
    });
    expect(kind).toBe('model_file_corrupt');
    expect(message).toContain(`weight embedding: its external data has the ${key} "${value}"`);
  });

  it('are refused when their length does not fit their shape', async () => {
    const { kind, message } = await externalFailure({ location: 'w.bin', length: '16' });
    expect(kind).toBe('model_file_corrupt');
    expect(message).toContain(`has 16 bytes; its shape [40, 24] needs ${BYTES}`);
  });

  it('need no offset and no length', async () => {
    await expectRuns(
      modelDir({ 'model.onnx': external({ location: 'w.bin' }), 'w.bin': new Uint8Array(BYTES) }),
    );
  });

  it('may lie in a folder, under a name that another folder has too', async () => {
    const model = withEmbedding(() => undefined);
    const files: Record<string, string> = { embedding: 'a/w.bin', lm_head: 'b/w.bin' };
    for (const tensor of model.graph?.initializer ?? []) {
      if (!(tensor.name in files)) continue;
      tensor.rawData = new Uint8Array();
      tensor.dataLocation = TensorProto_DataLocation.EXTERNAL;
      tensor.externalData = [
        create(StringStringEntryProtoSchema, { key: 'location', value: files[tensor.name] }),
      ];
    }
    const directory = modelDir({ 'model.onnx': encode(model) });
    for (const [folder, fill] of [
      ['a', 1],
      ['b', 2],
    ] as const) {
      await mkdir(join(directory, folder));
      await writeFile(join(directory, folder, 'w.bin'), new Uint8Array(BYTES).fill(fill));
    }
    await expectRuns(directory);
  });

  it("may be symbolic links into the hub's cache, on a disk that cannot be written", async () => {
    const cache = modelDir({});
    const repository = join(cache, 'models--owner--name');
    const directory = join(repository, 'snapshots', 'c0ffee');
    for (const path of [directory, join(repository, 'blobs'), join(cache, 'blobs', 'ab')]) {
      await mkdir(path, { recursive: true });
    }
    await writeFile(join(directory, 'model.onnx'), external({ location: 'w.bin' }));
    await writeFile(join(repository, 'blobs', 'hash'), new Uint8Array(BYTES));
    await symlink('../../blobs/hash', join(directory, 'w.bin'));
    await chmod(directory, 0o555);
    await expectRuns(directory);
    expect((await readdir(directory)).sort()).toEqual(['model.onnx', 'w.bin']);
    // Newer tools share blobs among repositories: a link to a link.
    await rename(join(repository, 'blobs', 'hash'), join(cache, 'blobs', 'ab', 'abcd'));
    await symlink('../../blobs/ab/abcd', join(repository, 'blobs', 'hash'));
    await expectRuns(directory);
    await chmod(directory, 0o755);
  });

  it('may be a symbolic link inside of the directory', async () => {
    const directory = modelDir({
      'model.onnx': external({ location: 'w.bin' }),
      real: new Uint8Array(BYTES),
    });
    await symlink('real', join(directory, 'w.bin'));
    await expectRuns(directory);
  });

  it('are refused as a symbolic link to anywhere else, and where it leads', async () => {
    const secret = join(modelDir({ secret: new Uint8Array(BYTES) }), 'secret');
    const directory = modelDir({ 'model.onnx': external({ location: 'w.bin' }) });
    await symlink(secret, join(directory, 'w.bin'));
    const { kind, message } = await importFailure(directory);
    expect(kind).toBe('model_file_corrupt');
    expect(message).toContain(`w.bin is a link to ${secret}, outside the model's directory`);

    // A directory that only looks like a repository of the cache.
    const snapshot = join(modelDir({}), 'models--owner--name', 'snapshots', 'c0ffee');
    await mkdir(snapshot, { recursive: true });
    await writeFile(join(snapshot, 'model.onnx'), external({ location: 'w.bin' }));
    await symlink(secret, join(snapshot, 'w.bin'));
    expect((await importFailure(snapshot)).message).toContain(`is a link to ${secret}`);
  });

  it('are refused when the file is a directory, or ends in the middle', async () => {
    const directory = modelDir({ 'model.onnx': external({ location: 'w.bin' }) });
    await mkdir(join(directory, 'w.bin'));
    const notAFile = await importFailure(directory);
    expect(notAFile.kind).toBe('model_file_corrupt');
    expect(notAFile.message).toContain('w.bin is not a file');

    const short = modelDir({ 'model.onnx': external({ location: 'w.bin' }), 'w.bin': '' });
    truncateSync(join(short, 'w.bin'), BYTES - 1);
    expect((await importFailure(short)).message).toContain(`has only ${BYTES - 1} bytes`);
  });
});
