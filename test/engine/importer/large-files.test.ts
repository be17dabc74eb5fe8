import { readFileSync } from 'node:fs';
import { toBinary } from '@bufbuild/protobuf';
import { Tensor } from 'onnxruntime-node';
import { describe, expect, it } from 'vitest';
import { importModel } from '../../../engine/importer/import-model.js';
import { ModelProtoSchema } from '../../../engine/importer/onnx/onnx_pb.js';
import { hugeModel, LARGE, LAST_ROW, ROW_BYTES } from '../../support/huge-model.js';
import { modelDir } from '../../support/model-dir.js';
import { tinyDecoder } from '../../support/tiny-decoder.js';
import { firstSession } from './first-session.js';

const GIB = 2 ** 30;

/** Bytes that this process has asked files for, by reads; mapped pages are not among them. */
function bytesRead(): number {
  return Number(/^rchar: (\d+)$/m.exec(readFileSync('/proc/self/io', 'utf8'))?.[1]);
}

/** What segment 0 makes of one token. */
async function firstProducts(directory: string, token: number): Promise<Float32Array> {
  const session = await firstSession(await importModel({ modelDir: directory }));
  const ids = new Tensor('int64', BigInt64Array.of(BigInt(token)), [1, 1]);
  const { data } = (await session.run({ input_ids: ids }))['l0/q/out'];
  await session.release();
  return data as Float32Array;
}

/**
 * The same decoder with a table of 40 rows in its file, of which the last is that of the huge one.
 */
function smallModel(): string {
  const model = tinyDecoder().build();
  const table = model.graph?.initializer.find(({ name }) => name === 'embedding');
  if (!table) throw new Error('no embedding');
  const bytes = Uint8Array.from(table.rawData);
  bytes.set(new Uint8Array(LAST_ROW.buffer), 39 * ROW_BYTES);
  table.rawData = bytes;
  return modelDir({ 'model.onnx': toBinary(ModelProtoSchema, model) });
}

describe('external data of 5 GB', () => {
  it('is right beyond 4 GiB of a weight, and of a file', async () => {
    const expected = await firstProducts(smallModel(), 39);
    expect(new Set(expected).size).toBeGreaterThan(100);
    expect(await firstProducts(hugeModel(), LARGE.rows - 1)).toEqual(expected);
    const behind = hugeModel({ offset: 5 * GIB + 4096, rows: 40 });
    expect(await firstProducts(behind, 39)).toEqual(expected);
  });

  it.skipIf(process.platform !== 'linux')('is mapped, never read', async () => {
    const directory = hugeModel();
    const memory = process.memoryUsage().rss;
    const before = bytesRead();
    await firstProducts(directory, 0);
    expect(bytesRead() - before).toBeLessThan(16 * 2 ** 20);
    expect(process.memoryUsage().rss - memory).toBeLessThan(GIB / 4);
  });
});
