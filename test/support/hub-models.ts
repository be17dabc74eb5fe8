import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import { embeddedModelDir } from '../../engine/environment/package-root.js';
import {
  type ModelProto,
  ModelProtoSchema,
  StringStringEntryProtoSchema,
  TensorProto_DataLocation,
} from '../../engine/importer/onnx/onnx_pb.js';
import type { HubRepository } from './hub-server.js';
import { tinyDecoder } from './tiny-decoder.js';

export const COMMIT = 'c0ffee'.padEnd(40, '0');
export const DATA = 'onnx/model.onnx_data';

/** Moves the weights out of a model's file, into one beside it under the given name. */
export function externalize(model: ModelProto, location: string): { onnx: Buffer; data: Buffer } {
  const parts: Uint8Array[] = [];
  let offset = 0;
  for (const tensor of model.graph?.initializer ?? []) {
    const bytes = tensor.rawData;
    if (bytes.length < 512) continue;
    tensor.dataLocation = TensorProto_DataLocation.EXTERNAL;
    tensor.externalData = Object.entries({ location, offset, length: bytes.length }).map(
      ([key, value]) => create(StringStringEntryProtoSchema, { key, value: String(value) }),
    );
    tensor.rawData = new Uint8Array();
    parts.push(bytes);
    offset += bytes.length;
  }
  return { onnx: Buffer.from(toBinary(ModelProtoSchema, model)), data: Buffer.concat(parts) };
}

/** A model as the hub would have it, which is never run: a decoder with 80 KB of external data. */
export function smallRepository(location = 'model.onnx_data'): HubRepository {
  const { onnx, data } = externalize(tinyDecoder().build(), location);
  return {
    commit: COMMIT,
    files: new Map([
      ['.gitattributes', Buffer.from('*.onnx filter=lfs')],
      ['README.md', Buffer.from('# A model')],
      ['config.json', Buffer.from('{}')],
      ['tokenizer.json', Buffer.from('{"model":{}}')],
      ['tokenizer_config.json', Buffer.from('{"eos_token":""}')],
      ['onnx/model.onnx', onnx],
      [DATA, data],
      ['onnx/model_q4.onnx', Buffer.from('never needed')],
      ['model.safetensors', Buffer.from('never needed')],
    ]),
  };
}

/** octavo-tiny as exporters would have put it on the hub: its weights in a file of their own. */
export function octavoTinyRepository(): HubRepository {
  const dir = embeddedModelDir();
  const model = fromBinary(ModelProtoSchema, readFileSync(join(dir, 'onnx/model.onnx')));
  const { onnx, data } = externalize(model, 'model.onnx_data');
  const names = [
    'config.json',
    'generation_config.json',
    'tokenizer.json',
    'tokenizer_config.json',
    'chat_template.jinja',
  ];
  return {
    commit: COMMIT,
    files: new Map([
      ...names
        .filter((name) => existsSync(join(dir, name)))
        .map((name) => [name, readFileSync(join(dir, name))] as const),
      ['onnx/model.onnx', onnx],
      [DATA, data],
    ]),
  };
}
