import { create } from '@bufbuild/protobuf';
import { OctavoError } from '../../errors.js';
import { Graph } from '../graph.js';
import { STEP_INPUT } from '../imported-model.js';
import { makeNode } from '../onnx/nodes.js';
import {
  GraphProtoSchema,
  type ModelProto,
  ModelProtoSchema,
  type NodeProto,
  type OperatorSetIdProto,
  type ValueInfoProto,
} from '../onnx/onnx_pb.js';
import { isDeepstack } from './deepstack.js';
import { shareFolder } from './share-folder.js';
import { textRows } from './text-rows.js';

/** The decoder's input that the embedding computes, `[batch, sequence, hidden]`. */
export const EMBEDS = 'inputs_embeds';

/** Names of the embedding's tensors in the joined graph begin with this. */
const PREFIX = 'octavo.embedding/';

/**
 * Operators that mean the same in all operator sets that exporters have written since 2020: what
 * embeddings are made of.
 */
const TIMELESS = new Set([
  'Gather',
  'Mul',
  'Cast',
  'Identity',
  'Constant',
  'DequantizeLinear',
  'Reshape',
  'Add',
  'Concat',
  'Shape',
]);

/**
 * Puts the graph of a model's embedding in front of its decoder: the decoder's inputs that bear the
 * names of the embedding's outputs (`inputs_embeds`, and Gemma 3n's `per_layer_inputs`) become
 * tensors of the graph, and `input_ids` its input. The table of tokens stays where it is, as every
 * weight.
 *
 * @param decoder consumed, as is the embedding
 * @throws OctavoError `model_unsupported` when the two do not go together
 */
export function joinEmbedding(decoder: Graph, embedding: Graph): Graph {
  const fail = (what: string): OctavoError =>
    new OctavoError('model_unsupported', `${embedding.file}: ${what}`);
  const ids = embedding.inputs.get(STEP_INPUT.inputIds);
  if (!ids || !embedding.outputs.has(EMBEDS)) {
    const names = [...embedding.inputs.keys(), '->', ...embedding.outputs.keys()].join(' ');
    throw fail(`expected an embedding, ${STEP_INPUT.inputIds} -> ${EMBEDS}, found ${names}`);
  }
  textRows(embedding, EMBEDS);
  const given = [...embedding.outputs.keys()].filter(
    (name) => decoder.inputs.has(name) && !isDeepstack(name),
  );
  const nodes = liveNodes(embedding, given);
  const stray = nodes
    .flatMap((node) => node.input)
    .find((name) => embedding.inputs.has(name) && name !== STEP_INPUT.inputIds);
  if (stray !== undefined) throw fail(`reads ${stray}; expected ${STEP_INPUT.inputIds} alone`);
  const inner = nodes.find(({ attribute }) =>
    attribute.some(({ g, graphs }) => g !== undefined || graphs.length > 0),
  );
  if (inner) throw fail(`node ${inner.name} (${inner.opType}) holds a graph of its own`);

  const file = shareFolder(decoder, embedding);
  const outer = decoder.model.graph ?? create(GraphProtoSchema);
  for (const node of nodes) {
    node.name = PREFIX + node.name;
    node.input = node.input.map(renamed);
    node.output = node.output.map(renamed);
  }
  const read = new Set(nodes.flatMap(({ input }) => input));
  const weights = embedding
    .allInitializers()
    .filter(({ name }) => read.has(renamed(name)))
    .map((tensor) => Object.assign(tensor, { name: renamed(tensor.name) }));
  const bridges = given.map((name) =>
    bridge(name, embedding.outputs.get(name), decoder.inputs.get(name)),
  );
  const model = create(ModelProtoSchema, {
    ...decoder.model,
    opsetImport: operatorSets(decoder.model, embedding.model, nodes, fail),
    functions: [...decoder.model.functions, ...missingFunctions(decoder.model, embedding.model)],
    graph: create(GraphProtoSchema, {
      ...outer,
      input: [ids, ...outer.input.filter(({ name }) => !given.includes(name))],
      initializer: [...weights, ...outer.initializer],
      node: [...nodes, ...bridges, ...outer.node],
    }),
  });
  const joined = new Graph(model, file);
  joined.rewrites.push(...embedding.rewrites, `put ${embedding.file} in front of the decoder`);
  return joined;
}

function renamed(name: string): string {
  return name === '' || name === STEP_INPUT.inputIds ? name : PREFIX + name;
}

/** An output of the embedding as the decoder's input: the same, or of another number format. */
function bridge(
  name: string,
  from: ValueInfoProto | undefined,
  to: ValueInfoProto | undefined,
): NodeProto {
  const [given, wanted] = [elementType(from), elementType(to)];
  const [source, node] = [renamed(name), `${PREFIX}${name}/bridge`];
  if (given === wanted || wanted === undefined) return makeNode('Identity', node, [source], [name]);
  return makeNode('Cast', node, [source], [name], { to: wanted });
}

function elementType(info: ValueInfoProto | undefined): number | undefined {
  const type = info?.type?.value;
  return type?.case === 'tensorType' ? type.value.elemType : undefined;
}

function liveNodes(graph: Graph, wanted: readonly string[]): NodeProto[] {
  const needed = new Set(wanted);
  const live: NodeProto[] = [];
  for (const node of [...graph.nodes].reverse()) {
    if (!node.output.some((name) => name !== '' && needed.has(name))) continue;
    live.push(node);
    for (const name of node.input) needed.add(name);
  }
  return live.reverse();
}

/** The decoder's operator sets, and those that only the embedding uses. */
function operatorSets(
  decoder: ModelProto,
  embedding: ModelProto,
  nodes: readonly NodeProto[],
  fail: (what: string) => OctavoError,
): OperatorSetIdProto[] {
  const known = new Map(decoder.opsetImport.map(({ domain, version }) => [domain, version]));
  for (const { domain, version } of embedding.opsetImport) {
    const other = known.get(domain);
    if (other === undefined || other === version) continue;
    const node = nodes.find((one) => one.domain === domain && !TIMELESS.has(one.opType));
    if (!node) continue;
    throw fail(
      `node ${node.name} (${node.opType}) is of operator set ${version}, the decoder's is ${other}; export both with the same`,
    );
  }
  return [
    ...decoder.opsetImport,
    ...embedding.opsetImport.filter(({ domain }) => !known.has(domain)),
  ];
}

function missingFunctions(decoder: ModelProto, embedding: ModelProto): ModelProto['functions'] {
  const key = ({ domain, name }: { domain: string; name: string }): string => `${domain}:${name}`;
  const known = new Set(decoder.functions.map(key));
  return embedding.functions.filter((one) => !known.has(key(one)));
}
