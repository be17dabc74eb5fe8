import { execFile } from 'node:child_process';
import {
  appendFileSync,
  readdirSync,
  readFileSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { describe, expect, it } from 'vitest';
import { importModel } from '../../../../engine/importer/import-model.js';
import { ModelCache, writeDurably } from '../../../../engine/importer/quantize/model-cache.js';
import type { WeightBits } from '../../../../engine/importer/quantize/quantization.js';
import { modelDir } from '../../../support/model-dir.js';
import { tinyDecoder } from '../../../support/tiny-decoder.js';
import { WEIGHT_BITS } from '../../../support/weight-bits.js';

interface Start {
  /** Whether weights were converted: the cache did not have them. */
  readonly converted: boolean;
  readonly weights: Buffer;
}

const EIGHT: WeightBits = 8;

async function start(
  directory: string,
  cacheDir: string,
  bits: WeightBits | null = EIGHT,
): Promise<Start> {
  let converted = false;
  const onProgress = (): void => {
    converted = true;
  };
  const weightBits = () => Promise.resolve(bits);
  await importModel({
    modelDir: directory,
    quantize: { nbits: false, cacheDir, onProgress, weightBits },
  });
  return { converted, weights: readFileSync(join(entryOf(cacheDir), 'weights.bin')) };
}

/** The only entry of a cache. */
function entryOf(cacheDir: string): string {
  const names = readdirSync(cacheDir);
  expect(names).toHaveLength(1);
  return join(cacheDir, names[0]);
}

const tiny = (): string => modelDir({ 'model.onnx': tinyDecoder().bytes() });

describe('the model cache', () => {
  it('converts a model once', async () => {
    const directory = tiny();
    const cacheDir = join(modelDir({}), 'made', 'on', 'demand');
    const first = await start(directory, cacheDir);
    expect(first.converted).toBe(true);
    const second = await start(directory, cacheDir);
    expect(second).toEqual({ converted: false, weights: first.weights });
  });

  it('converts again for another model, and for other bits', async () => {
    const cacheDir = modelDir({});
    const directory = tiny();
    await start(directory, cacheDir);
    writeFileSync(join(directory, 'model.onnx'), tinyDecoder({ packed: true }).bytes());
    const quantize = { nbits: false, cacheDir, weightBits: () => Promise.resolve(EIGHT) };
    await importModel({ modelDir: directory, quantize });
    await importModel({
      modelDir: directory,
      quantize: { ...quantize, weightBits: () => Promise.resolve(7 as const) },
    });
    expect(readdirSync(cacheDir)).toHaveLength(3);
  });

  it.each([
    [
      'weights that end too early',
      (entry: string) => truncateSync(join(entry, 'weights.bin'), 100),
    ],
    ['weights with another byte', (entry: string) => flip(join(entry, 'weights.bin'))],
    ['a graph with another byte', (entry: string) => flip(join(entry, 'model.onnx'))],
    ['a manifest cut short', (entry: string) => truncateSync(join(entry, 'manifest.json'), 20)],
    ['more than was written', (entry: string) => appendFileSync(join(entry, 'model.onnx'), 'x')],
  ])('makes an entry again that has %s', async (_, damage) => {
    const directory = tiny();
    const cacheDir = modelDir({});
    const whole = await start(directory, cacheDir);
    damage(entryOf(cacheDir));
    expect(await start(directory, cacheDir)).toEqual(whole);
    expect((await start(directory, cacheDir)).converted).toBe(false);
  });

  it('takes files that were only copied: their content counts', async () => {
    const directory = tiny();
    const cacheDir = modelDir({});
    await start(directory, cacheDir);
    utimesSync(join(entryOf(cacheDir), 'weights.bin'), 1, 1);
    expect((await start(directory, cacheDir)).converted).toBe(false);
  });

  it('is safe with two processes that start at once', async () => {
    const directory = tiny();
    const cacheDir = modelDir({});
    const script = fileURLToPath(new URL('../../../support/quantize-process.ts', import.meta.url));
    const run = async (): Promise<unknown> => {
      const args = ['--import', 'tsx', script, directory, cacheDir];
      return JSON.parse((await promisify(execFile)(process.execPath, args)).stdout);
    };
    for (const result of await Promise.all([run(), run()])) {
      expect(result).toMatchObject({ vocabSize: 40 });
    }
    // They took the bits of this machine.
    expect((await start(directory, cacheDir, WEIGHT_BITS)).converted).toBe(false);
  });

  it('is safe with many that make the same entry, over a damaged one', async () => {
    const cacheDir = modelDir({});
    const cache = new ModelCache(cacheDir);
    const make = async (directory: string, content: string) => {
      const sha256 = await writeDurably(join(directory, 'a'), content);
      return { files: [{ name: 'a', sha256 }], rewrites: [content] };
    };
    await cache.add('key', 1, (directory) => make(directory, 'old'));
    truncateSync(join(cacheDir, 'key', 'a'), 1);
    const all = await Promise.all(
      Array.from({ length: 8 }, () => cache.add('key', 1, (directory) => make(directory, 'new'))),
    );
    expect(new Set(all.map(({ directory }) => directory))).toEqual(
      new Set([join(cacheDir, 'key')]),
    );
    expect(readFileSync(join(cacheDir, 'key', 'a'), 'utf8')).toBe('new');
    expect(readdirSync(cacheDir)).toEqual(['key']);
  });

  it('leaves nothing behind when the making fails', async () => {
    const cacheDir = modelDir({});
    const full = Object.assign(new Error('no space left on device'), { code: 'ENOSPC' });
    await expect(
      new ModelCache(cacheDir).add('key', 5 * 2 ** 20, () => Promise.reject(full)),
    ).rejects.toMatchObject({
      kind: 'model_cache_unusable',
      message: `the rewritten model (about 5 MiB) cannot be kept in ${cacheDir}: the disk is full; --model-cache-dir names another directory`,
    });
    expect(readdirSync(cacheDir)).toEqual([]);
  });

  it('knows before the work that there is no room', async () => {
    const cacheDir = modelDir({});
    const make = (): never => {
      throw new Error('must not be called');
    };
    await expect(new ModelCache(cacheDir).add('key', 2 ** 60, make)).rejects.toThrow(
      /disk is full/,
    );
  });

  it('says what is wrong with its directory', async () => {
    const directory = tiny();
    // Root may write anywhere: a file in the way stops it too.
    const file = join(modelDir({ file: '' }), 'file');
    await expect(
      importModel({
        modelDir: directory,
        quantize: { nbits: false, cacheDir: file, weightBits: () => Promise.resolve(EIGHT) },
      }),
    ).rejects.toThrow(file);
    // Under /proc, making a directory with its parents by Node's own means never ends.
    if (process.platform !== 'linux') return;
    const add = new ModelCache('/proc/octavo/cache').add('key', 1, () =>
      Promise.reject(new Error()),
    );
    await expect(add).rejects.toMatchObject({ kind: 'model_cache_unusable' });
  });
});

describe('a CPU whose products saturate', () => {
  it('is refused when even 7 bits are too many', async () => {
    await expect(start(tiny(), modelDir({}), null)).rejects.toMatchObject({
      kind: 'cpu_unsupported',
      param: '--quantize',
    });
  });
});

function flip(file: string): void {
  const bytes = readFileSync(file);
  bytes[Math.floor(bytes.length / 2)] ^= 1;
  writeFileSync(file, bytes);
}
