import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { clone, create, fromBinary, toBinary } from '@bufbuild/protobuf';
import { makeNode, makeValueInfo } from '../../engine/importer/onnx/nodes.js';
import {
  GraphProtoSchema,
  type ModelProto,
  ModelProtoSchema,
  type NodeProto,
  NodeProtoSchema,
  TensorProto_DataType as Type,
  ValueInfoProtoSchema,
} from '../../engine/importer/onnx/onnx_pb.js';
import { exportDir } from './export-fixtures.js';

/** A model of the fixtures in two graphs, as decoders of models of text and images are. */
export interface SplitModel {
  readonly embedding: ModelProto;
  readonly decoder: ModelProto;
  /** Its config.json or genai_config.json, by its name. */
  readonly config: Readonly<Record<string, string>>;
}

/**
 * Takes the look-up of token ids, and the factor that Gemma has behind it, out of an export: what
 * transformers.js' `embed_tokens.onnx` and the rest of the model are.
 */
export function splitEmbedding(exporter: string, family: string): SplitModel {
  const dir = exportDir(exporter, family);
  const decoder = fromBinary(ModelProtoSchema, readFileSync(join(dir, 'model.onnx')));
  const graph = decoder.graph ?? create(GraphProtoSchema);
  const lookUp = graph.node.find(
    ({ opType, input }) => opType.startsWith('Gather') && input[1] === 'input_ids',
  );
  if (!lookUp) throw new Error(`${dir}: no Gather of input_ids`);
  const taken = [lookUp];
  for (;;) {
    const [output] = taken[taken.length - 1].output;
    const readers = graph.node.filter(({ input }) => input.includes(output));
    const constants = readers.length === 1 ? constantsOf(graph.node, readers[0], output) : null;
    if (readers[0]?.opType !== 'Mul' || constants === null) break;
    taken.push(...constants, readers[0]);
  }
  const rows = taken[taken.length - 1].output[0];
  const read = new Set(taken.flatMap(({ input }) => input));
  const ids = graph.input.find(({ name }) => name === 'input_ids');
  const embedding = create(ModelProtoSchema, {
    irVersion: decoder.irVersion,
    opsetImport: decoder.opsetImport,
    graph: create(GraphProtoSchema, {
      name: 'embedding',
      node: [
        ...taken.map((node) => clone(NodeProtoSchema, node)),
        makeNode('Identity', 'rows', [rows], ['inputs_embeds']),
      ],
      initializer: graph.initializer.filter(({ name }) => read.has(name)),
      input: ids ? [clone(ValueInfoProtoSchema, ids)] : [],
      output: [makeValueInfo('inputs_embeds', Type.FLOAT)],
    }),
  });
  graph.node = graph.node.filter((node) => !taken.includes(node));
  for (const node of graph.node) {
    node.input = node.input.map((name) => {
      if (name === rows) return 'inputs_embeds';
      return name === 'input_ids' ? sizesFrom(node) : name;
    });
  }
  const kept = new Set(graph.node.flatMap(({ input }) => input));
  graph.initializer = graph.initializer.filter(({ name }) => kept.has(name));
  graph.input = [
    makeValueInfo('inputs_embeds', Type.FLOAT),
    ...graph.input.filter(({ name }) => name !== 'input_ids'),
  ];
  const name = exporter.startsWith('genai-0.18') ? 'genai_config.json' : 'config.json';
  return { embedding, decoder, config: { [name]: readFileSync(join(dir, name), 'utf8') } };
}

/** Both as the bytes of files. */
export function filesOf(
  { embedding, decoder, config }: SplitModel,
  names: { readonly embedding: string; readonly decoder: string },
): Record<string, Uint8Array | string> {
  return {
    ...config,
    [names.embedding]: toBinary(ModelProtoSchema, embedding),
    [names.decoder]: toBinary(ModelProtoSchema, decoder),
  };
}

/** The Constants that a node reads beside a tensor; null when it reads anything else. */
function constantsOf(
  nodes: readonly NodeProto[],
  node: NodeProto,
  tensor: string,
): NodeProto[] | null {
  const others = node.input.filter((name) => name !== tensor);
  const makers = others.map((name) => nodes.find(({ output }) => output.includes(name)));
  if (makers.some((maker) => maker && maker.opType !== 'Constant')) return null;
  return makers.filter((maker) => maker !== undefined);
}

/** Only the sizes of the ids are left to read. */
function sizesFrom({ opType, name }: NodeProto): string {
  if (opType === 'Shape') return 'inputs_embeds';
  throw new Error(`node ${name} (${opType}) reads input_ids`);
}
