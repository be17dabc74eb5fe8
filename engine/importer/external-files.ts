import { type ByteRange, type FieldReader, readFields } from './onnx/field-reader.js';
import { TensorProto_DataLocation } from './onnx/onnx_pb.js';

/**
 * Messages of onnx.proto that can contain a tensor, with the numbers of the fields that lead to it.
 */
const INNER = {
  model: { 7: 'graph', 25: 'function' },
  function: { 7: 'node' },
  graph: { 1: 'node', 5: 'tensor', 15: 'sparseTensor' },
  node: { 5: 'attribute' },
  attribute: {
    5: 'tensor',
    6: 'graph',
    10: 'tensor',
    11: 'graph',
    22: 'sparseTensor',
    23: 'sparseTensor',
  },
  sparseTensor: { 1: 'tensor', 2: 'tensor' },
} as const satisfies Record<string, Readonly<Record<number, string>>>;

type Message = keyof typeof INNER;

/** Fields of a TensorProto, and of an entry of its `external_data`. */
const EXTERNAL_DATA = 13;
const DATA_LOCATION = 14;
const KEY = 1;
const VALUE = 2;

/** The depth limit of protobuf's own readers. */
const MAX_DEPTH = 100;

/**
 * Names of the files of external data that a model's tensors refer to, relative to the model's
 * file. The names are not checked in any way. Skips weights: gigabytes inside the file cost neither
 * time nor memory.
 *
 * @throws OctavoError `model_file_missing`, `model_file_corrupt`
 */
export function externalFiles(file: string): string[] {
  return readFields(file, (reader) => {
    const names = new Set<string>();
    visit(reader, 'model', { start: 0, end: reader.size }, names, 0);
    return [...names];
  });
}

function visit(
  reader: FieldReader,
  message: Message,
  range: ByteRange,
  names: Set<string>,
  depth: number,
): void {
  if (depth > MAX_DEPTH) throw new RangeError(`messages are nested more than ${MAX_DEPTH} deep`);
  const inner: Readonly<Record<number, Message | 'tensor' | undefined>> = INNER[message];
  for (const { number, content } of reader.fields(range)) {
    const kind = inner[number];
    if (kind === undefined || content === null) continue;
    if (kind !== 'tensor') visit(reader, kind, content, names, depth + 1);
    else {
      const location = locationOf(reader, content);
      if (location !== null) names.add(location);
    }
  }
}

function locationOf(reader: FieldReader, tensor: ByteRange): string | null {
  let isExternal = false;
  let location: string | null = null;
  for (const { number, value, content } of reader.fields(tensor)) {
    if (number === DATA_LOCATION) isExternal = value === TensorProto_DataLocation.EXTERNAL;
    if (number !== EXTERNAL_DATA || content === null) continue;
    const texts = new Map<number, string>();
    for (const part of reader.fields(content)) {
      if (part.content) texts.set(part.number, reader.text(part.content));
    }
    if (texts.get(KEY) === 'location') location = texts.get(VALUE) ?? '';
  }
  return isExternal ? location : null;
}
