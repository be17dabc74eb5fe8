import { closeSync, openSync, readFileSync, truncateSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { create, toBinary } from '@bufbuild/protobuf';
import { Tensor } from 'onnxruntime-node';
import { describe, expect, it } from 'vitest';
import { importModel } from '../../../engine/importer/import-model.js';
import {
  ModelProtoSchema,
  StringStringEntryProtoSchema,
  TensorProto_DataLocation,
} from '../../../engine/importer/onnx/onnx_pb.js';
import { modelDir } from '../../support/model-dir.js';
import { tinyDecoder } from '../../support/tiny-decoder.js';
import { firstSession } from './first-session.js';

const GIB = 2 ** 30;
const WIDTH = 24;
const ROW_BYTES = WIDTH * 4;
const ROWS = Math.floor((5 * GIB) / ROW_BYTES);
const OFFSET = 4096;

/** Values that the last row of the table has; all others are zeros that take no space on the disk. */
const LAST_ROW = Float32Array.from({ length: WIDTH }, (_, i) => (i - 11) / 7);

/** A decoder whose embedding is a sparse file of 5 GB. */
function hugeModel(): string {
  const model = tinyDecoder().build();
  const table = model.graph?.initializer.find(({ name }) => name === 'embedding');
  if (!table) throw new Error('no embedding');
  table.dims = [BigInt(ROWS), BigInt(WIDTH)];
  table.rawData = new Uint8Array();
  table.dataLocation = TensorProto_DataLocation.EXTERNAL;
  const entries = { location: 'model.onnx_data', offset: OFFSET, length: ROWS * ROW_BYTES };
  table.externalData = Object.entries(entries).map(([key, value]) =>
    create(StringStringEntryProtoSchema, { key, value: String(value) }),
  );
  const directory = modelDir({
    'model.onnx': toBinary(ModelProtoSchema, model),
    'model.onnx_data': '',
    'config.json': JSON.stringify({ max_position_embeddings: 64, num_hidden_layers: 2 }),
  });
  const data = join(directory, 'model.onnx_data');
  truncateSync(data, OFFSET + ROWS * ROW_BYTES);
  const file = openSync(data, 'r+');
  writeSync(file, new Uint8Array(LAST_ROW.buffer), 0, ROW_BYTES, OFFSET + (ROWS - 1) * ROW_BYTES);
  closeSync(file);
  return directory;
}

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

/** The same decoder with a table of 40 rows in its file, of which the last is that of the huge one. */
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
  it('is right beyond 4 GiB', async () => {
    const expected = await firstProducts(smallModel(), 39);
    expect(new Set(expected).size).toBeGreaterThan(100);
    expect(await firstProducts(hugeModel(), ROWS - 1)).toEqual(expected);
  });

  it.skipIf(process.platform !== 'linux')('is mapped, never read', async () => {
    const directory = hugeModel();
    const memory = process.memoryUsage().rss;
    const [before, start] = [bytesRead(), performance.now()];
    await firstProducts(directory, 0);
    expect(bytesRead() - before).toBeLessThan(16 * 2 ** 20);
    expect(performance.now() - start).toBeLessThan(10_000);
    expect(process.memoryUsage().rss - memory).toBeLessThan(GIB / 4);
  });
});
