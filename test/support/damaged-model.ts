import { mkdirSync, readFileSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import {
  type ModelProto,
  ModelProtoSchema,
  NodeProtoSchema,
  type TensorProto,
} from '../../engine/importer/onnx/onnx_pb.js';
import { octavoTinyRepository } from './hub-models.js';
import { modelDir } from './model-dir.js';

const ONNX = 'onnx/model.onnx';
const FILES = octavoTinyRepository().files;

/** octavo-tiny with its weights in a file of their own, to be damaged. */
export function damaged(damage: (directory: string) => void): string {
  const directory = modelDir({});
  mkdirSync(join(directory, 'onnx'));
  for (const [name, bytes] of FILES) writeFileSync(join(directory, name), bytes);
  damage(directory);
  return directory;
}

/** Changes its graph. */
function rewrite(change: (model: ModelProto) => void): (directory: string) => void {
  return (directory) => {
    const model = fromBinary(ModelProtoSchema, readFileSync(join(directory, ONNX)));
    change(model);
    writeFileSync(join(directory, ONNX), toBinary(ModelProtoSchema, model));
  };
}

/** Changes what one of its weights says of its external data. */
function restate(key: string, value: string): (directory: string) => void {
  return rewrite((model) => {
    const tensor = model.graph?.initializer.find(({ externalData }) => externalData.length > 0);
    const entry = tensor?.externalData.find((pair) => pair.key === key);
    if (entry) entry.value = value;
  });
}

/** Changes one field of its config.json. */
function configure(key: string, value: unknown): (directory: string) => void {
  return (directory) => {
    const file = join(directory, 'config.json');
    const config = JSON.parse(readFileSync(file, 'utf8')) as object;
    writeFileSync(file, JSON.stringify({ ...config, [key]: value }));
  };
}

function firstWeight(change: (tensor: TensorProto) => void): (directory: string) => void {
  return rewrite(({ graph }) => {
    const tensor = graph?.initializer.find(({ externalData }) => externalData.length > 0);
    if (tensor) change(tensor);
  });
}

const cycle = rewrite(({ graph }) => {
  for (const [name, input] of [
    ['a', 'b/out'],
    ['b', 'a/out'],
  ]) {
    const node = { opType: 'Neg', name, input: [input], output: [`${name}/out`] };
    graph?.node.push(create(NodeProtoSchema, node));
  }
});

/** What is to be damaged, and what is said of it. */
export type DamageCase = readonly [
  name: string,
  damage: (directory: string) => void,
  reason: RegExp,
];

const write = (name: string, content: string | Uint8Array) => (directory: string) =>
  writeFileSync(join(directory, name), content);
export const cutShort = (name: string, bytes: number) => (directory: string) =>
  truncateSync(join(directory, name), bytes);

/** Damages of a model's files that a start must find. */
export const DAMAGES: readonly DamageCase[] = [
  [
    'garbage',
    write(
      ONNX,
      Uint8Array.from({ length: 5000 }, (_, i) => (i * 7919) % 251),
    ),
    /model\.onnx: /,
  ],
  [
    'a pointer of git-lfs',
    write(ONNX, 'version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\n'),
    /model\.onnx: is a pointer of git-lfs, not the file itself: git lfs pull/,
  ],
  ['an empty file', write(ONNX, ''), /model\.onnx: holds no ONNX graph \(0 bytes\)/],
  [
    'half a model.onnx',
    cutShort(ONNX, 14_000),
    /model\.onnx: is not a complete ONNX protobuf \(14000 bytes\)/,
  ],
  [
    'a model.onnx of 3 GB',
    cutShort(ONNX, 3 * 2 ** 30),
    /model\.onnx: has 3221225472 bytes, and a protobuf ends before 2 GiB/,
  ],
  ['a cyclic graph', cycle, /model\.onnx: the nodes around [ab] form a cycle/],
  [
    'external data that is missing',
    restate('location', 'other.bin'),
    /model\.onnx: weight \S+: its external data file other\.bin is missing/,
  ],
  [
    'external data that is cut short',
    cutShort('onnx/model.onnx_data', 5_000_000),
    /model\.onnx: weight \S+: its external data ends at byte \d+, but model\.onnx_data has only 5000000 bytes/,
  ],
  [
    'external data that begins behind the end',
    restate('offset', String(2 ** 40)),
    /ends at byte 109951\d+, but model\.onnx_data has only \d+ bytes/,
  ],
  [
    'external data with an offset that is none',
    restate('offset', '-1'),
    /has the offset "-1"; expected whole bytes/,
  ],
  [
    'external data of another length',
    restate('length', '12'),
    /has 12 bytes; its shape \[.*\] needs \d+/,
  ],
  [
    'external data above the directory',
    restate('location', '../config.json'),
    /external data "\.\.\/config\.json" lies outside the model's directory/,
  ],
  [
    'external data at an absolute path',
    restate('location', '/etc/passwd'),
    /external data "\/etc\/passwd" lies outside the model's directory/,
  ],
  [
    'external data behind a link',
    (directory: string) => {
      symlinkSync('/etc/passwd', join(directory, 'onnx', 'link'));
      restate('location', 'link')(directory);
    },
    /model\.onnx: weight \S+: its external data link is a link to \/etc\/passwd, outside the model's directory/,
  ],
  [
    'external data under a name with a null byte',
    restate('location', 'a\0b'),
    /external data "a\\u0000b" is no name of a file/,
  ],
  [
    'external data under an endless name',
    restate('location', 'x'.repeat(5000)),
    /external data "x{40}" is no name of a file/,
  ],
  [
    'external data behind links in a circle',
    (directory: string) => {
      symlinkSync('circle', join(directory, 'onnx', 'circle'));
      restate('location', 'circle')(directory);
    },
    /external data circle cannot be looked at: ELOOP/,
  ],
  [
    'a weight with more bytes than a number holds',
    firstWeight((tensor) => (tensor.dims = Array.from({ length: 20 }, () => 2n ** 62n))),
    /its external data has \d+ bytes; its shape \[.*\] needs Infinity/,
  ],
  [
    'a weight with a negative dimension',
    firstWeight((tensor) => (tensor.dims = [-1n, 4n])),
    /model\.onnx: weight \S+ has the shape \[-1, 4\]/,
  ],
  [
    'a weight of another shape',
    firstWeight((tensor) => tensor.dims.push(2n)),
    /model\.onnx: weight \S+: its external data has \d+ bytes; its shape \[.*, 2\] needs \d+/,
  ],
  [
    'another number of layers',
    configure('num_hidden_layers', 7),
    /config\.json: says num_hidden_layers 7, but \S+model\.onnx has 5/,
  ],
  [
    'another number of heads',
    configure('num_attention_heads', 7),
    /config\.json: says num_attention_heads 7, but \S+model\.onnx has \d+/,
  ],
  [
    'another number of key and value heads',
    configure('num_key_value_heads', 7),
    /config\.json: says num_key_value_heads 7, but \S+model\.onnx has \d+/,
  ],
  [
    'a larger vocabulary',
    configure('vocab_size', 99_999),
    /config\.json: says vocab_size 99999, but \S+model\.onnx has \d+/,
  ],
  [
    'a number that is none',
    configure('num_hidden_layers', 'five'),
    /config\.json: num_hidden_layers must be a positive integer, got "five"/,
  ],
  ['half a config.json', cutShort('config.json', 100), /config\.json: is not JSON/],
  [
    'a config.json that is a list',
    write('config.json', '[]'),
    /config\.json: must hold a JSON object/,
  ],
];
