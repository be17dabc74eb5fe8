import { closeSync, openSync, truncateSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { create, toBinary } from '@bufbuild/protobuf';
import {
  ModelProtoSchema,
  StringStringEntryProtoSchema,
  TensorProto_DataLocation,
} from '../../engine/importer/onnx/onnx_pb.js';
import { modelDir } from './model-dir.js';
import { tinyDecoder } from './tiny-decoder.js';

const WIDTH = 24;
export const ROW_BYTES = WIDTH * 4;

/** A table of 5 GB, as in models of many billion weights. */
export const LARGE = { offset: 4096, rows: Math.floor((5 * 2 ** 30) / ROW_BYTES) };

/**
 * Values that the last row of the table has; all others are zeros that take no space on the disk.
 */
export const LAST_ROW = Float32Array.from({ length: WIDTH }, (_, i) => (i - 11) / 7);

/** A decoder whose embedding lies in a sparse file. */
export function hugeModel({ offset, rows } = LARGE): string {
  const model = tinyDecoder().build();
  const table = model.graph?.initializer.find(({ name }) => name === 'embedding');
  if (!table) throw new Error('no embedding');
  table.dims = [BigInt(rows), BigInt(WIDTH)];
  table.rawData = new Uint8Array();
  table.dataLocation = TensorProto_DataLocation.EXTERNAL;
  const entries = { location: 'model.onnx_data', offset, length: rows * ROW_BYTES };
  table.externalData = Object.entries(entries).map(([key, value]) =>
    create(StringStringEntryProtoSchema, { key, value: String(value) }),
  );
  const directory = modelDir({
    'model.onnx': toBinary(ModelProtoSchema, model),
    'model.onnx_data': '',
    'config.json': JSON.stringify({ max_position_embeddings: 64, num_hidden_layers: 2 }),
  });
  const data = join(directory, 'model.onnx_data');
  truncateSync(data, offset + rows * ROW_BYTES);
  const file = openSync(data, 'r+');
  writeSync(file, new Uint8Array(LAST_ROW.buffer), 0, ROW_BYTES, offset + (rows - 1) * ROW_BYTES);
  closeSync(file);
  return directory;
}
