import { create, toBinary } from '@bufbuild/protobuf';
import { makeNode, makeValueInfo } from '../importer/onnx/nodes.js';
import {
  AttributeProto_AttributeType,
  AttributeProtoSchema,
  GraphProtoSchema,
  ModelProtoSchema,
  type NodeProto,
  OperatorSetIdProtoSchema,
  TensorProtoSchema,
  TensorProto_DataType as Type,
} from '../importer/onnx/onnx_pb.js';

// The graphs that work on whole blocks of the cache, which lie along the first axis of its tensors.
// Each takes all tensors of the cache, `cache.0` and so on, so that a call is one run.

/** `shape` int64 `[4]` to `cache`, zeros on the device. */
export function allocationGraph(): Uint8Array {
  const node = makeNode('ConstantOfShape', 'allocate', ['shape'], ['cache']);
  const zero = { dims: [1n], dataType: Type.FLOAT16, rawData: new Uint8Array(2) };
  node.attribute.push(
    create(AttributeProtoSchema, {
      name: 'value',
      type: AttributeProto_AttributeType.TENSOR,
      t: create(TensorProtoSchema, zero),
    }),
  );
  return graph([node], { shape: Type.INT64 }, { cache: Type.FLOAT16 });
}

/**
 * `from` int64 `[n]` and `to` int64 `[n, 1]`: copies blocks. All are read before any is written.
 *
 * @param count number of tensors
 */
export function copyGraph(count: number): Uint8Array {
  const nodes = tensors(count).flatMap((i) => [
    makeNode('Gather', `read.${i}`, [`cache.${i}`, 'from'], [`blocks.${i}`]),
    scatter(i),
  ]);
  return graph(
    nodes,
    { from: Type.INT64, to: Type.INT64, ...all('cache', count) },
    all('written', count),
  );
}

/** `from` int64 `[n]` to `blocks.0` and so on, float16 `[n, ...]`. */
export function readGraph(count: number): Uint8Array {
  const nodes = tensors(count).map((i) =>
    makeNode('Gather', `read.${i}`, [`cache.${i}`, 'from'], [`blocks.${i}`]),
  );
  return graph(nodes, { from: Type.INT64, ...all('cache', count) }, all('blocks', count));
}

/** `to` int64 `[n, 1]`: writes `blocks.0` and so on, float16 `[n, ...]`. */
export function writeGraph(count: number): Uint8Array {
  const inputs = { to: Type.INT64, ...all('blocks', count), ...all('cache', count) };
  return graph(tensors(count).map(scatter), inputs, all('written', count));
}

/** In place where `cache.i` itself is fetched as `written.i`. */
function scatter(i: number): NodeProto {
  return makeNode('ScatterND', `write.${i}`, [`cache.${i}`, 'to', `blocks.${i}`], [`written.${i}`]);
}

const tensors = (count: number): number[] => Array.from({ length: count }, (_, i) => i);

const all = (name: string, count: number): Record<string, Type> =>
  Object.fromEntries(tensors(count).map((i) => [`${name}.${i}`, Type.FLOAT16]));

function graph(
  nodes: readonly NodeProto[],
  inputs: Readonly<Record<string, Type>>,
  outputs: Readonly<Record<string, Type>>,
): Uint8Array {
  const infos = (of: Readonly<Record<string, Type>>) =>
    Object.entries(of).map(([name, type]) => makeValueInfo(name, type));
  const model = create(ModelProtoSchema, {
    irVersion: 10n,
    producerName: 'octavo',
    opsetImport: [create(OperatorSetIdProtoSchema, { domain: '', version: 21n })],
    graph: create(GraphProtoSchema, {
      name: 'blocks',
      node: [...nodes],
      input: infos(inputs),
      output: infos(outputs),
    }),
  });
  return toBinary(ModelProtoSchema, model);
}
