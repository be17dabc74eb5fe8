import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fromBinary } from '@bufbuild/protobuf';
import { embeddedModelDir } from '../../engine/environment/package-root.js';
import { ModelProtoSchema, type TensorProto } from '../../engine/importer/onnx/onnx_pb.js';
import { safetensors, type WrittenTensor } from './safetensors.js';

const TEXT = [
  'config.json',
  'generation_config.json',
  'tokenizer.json',
  'tokenizer_config.json',
  'chat_template.jinja',
];
const INDEX = 'model.safetensors.index.json';

/**
 * The files of octavo-tiny as transformers would save it: float32 safetensors in two parts, without
 * the head, which is tied.
 */
export function tinyCheckpoint(): Map<string, Buffer> {
  const dir = embeddedModelDir();
  const { graph } = fromBinary(ModelProtoSchema, readFileSync(join(dir, 'onnx/model.onnx')));
  const tensors = (graph?.initializer ?? []).flatMap(asWritten);
  const half = Math.ceil(tensors.length / 2);
  const parts = new Map([
    ['model-00001-of-00002.safetensors', tensors.slice(0, half)],
    ['model-00002-of-00002.safetensors', tensors.slice(half)],
  ]);
  const map = [...parts].flatMap(([part, all]) => all.map(({ name }) => [name, part] as const));
  const index = { metadata: {}, weight_map: Object.fromEntries(map) };
  return new Map([
    ...TEXT.map((name) => [name, readFileSync(join(dir, name))] as const),
    [INDEX, Buffer.from(JSON.stringify(index))],
    ...[...parts].map(([name, all]) => [name, Buffer.from(safetensors(all))] as const),
  ]);
}

function asWritten({ name, dims, rawData }: TensorProto): WrittenTensor[] {
  if (!name.startsWith('model.')) return [];
  const values = new Float32Array(new Uint8Array(rawData).buffer);
  const shape = dims.map(Number);
  if (!name.includes('.MatMul.')) return [{ name, shape, values }];
  const own = name.replace('.MatMul.', '.').replace('.attn.', '.self_attn.');
  const [rows, columns] = shape;
  return [{ name: own, shape: [columns, rows], values: turned(values, rows, columns) }];
}

function turned(values: Float32Array, rows: number, columns: number): Float32Array {
  return Float32Array.from(values, (_, at) => {
    const [column, row] = [Math.floor(at / rows), at % rows];
    return values[row * columns + column];
  });
}
