import { OctavoError } from '../../errors.js';
import type { Graph } from '../graph.js';
import { ROW_INPUTS, STEP_INPUT } from '../imported-model.js';
import type { NodeProto } from '../onnx/onnx_pb.js';
import { isRepeated, repeatedTensors, type SegmentCut, withRepeated } from './cut.js';

/** The last segment in two, and what makes the embeddings. */
export interface EndCuts {
  /** Up to the head's input. */
  readonly body: SegmentCut;
  readonly head: SegmentCut;
  readonly embedding: SegmentCut;
  /** The head's input. */
  readonly hidden: string;
}

const FED: ReadonlySet<string> = new Set(Object.values(STEP_INPUT));

/**
 * Opens a decoder's ends for layers that draft (Li et al. 2024, EAGLE): they read the rows before
 * the LM head and the embeddings of tokens, and what they make goes through the same head.
 *
 * @param last the last segment, with the ranking of logits
 * @param embedding see `findEmbedding`
 * @throws OctavoError `model_unsupported` when one of the ends cannot be run by itself
 */
export function openEnds(graph: Graph, last: SegmentCut, embedding: string | null): EndCuts {
  const repeated = repeatedTensors(graph);
  const ofRows = new Set<string>(ROW_INPUTS);
  const head: NodeProto[] = [];
  for (const node of last.nodes) {
    if (!node.input.some((name) => ofRows.has(name))) continue;
    head.push(node);
    for (const output of node.output) ofRows.add(output);
  }
  const inHead = new Set(head);
  const rest = last.nodes.filter((node) => !inHead.has(node) && !isRepeated(node, repeated));
  const [headNodes, bodyNodes] = [head, rest].map((all) => withRepeated(graph, all, repeated));
  const headInputs = readBy(graph, headNodes);
  const [hidden, ...others] = headInputs.filter((name) => !FED.has(name));
  if (hidden === undefined || others.length > 0) {
    throw refusal(graph, `its LM head reads ${headInputs.join(', ')}, not hidden rows alone`);
  }
  return {
    hidden,
    head: { nodes: headNodes, inputs: headInputs, outputs: last.outputs },
    body: { nodes: bodyNodes, inputs: readBy(graph, bodyNodes), outputs: [hidden] },
    embedding: embeddingCut(graph, embedding),
  };
}

function embeddingCut(graph: Graph, embedding: string | null): SegmentCut {
  const wanted = new Set<NodeProto>();
  const maker = embedding === null ? undefined : graph.producer(embedding);
  if (maker) wanted.add(maker);
  for (const node of wanted) {
    for (const name of node.input) {
      const before = graph.producer(name);
      // A Set may grow while it is iterated.
      if (before) wanted.add(before);
    }
  }
  const nodes = graph.nodes.filter((node) => wanted.has(node));
  const inputs = readBy(graph, nodes);
  if (embedding !== null && inputs.join() === STEP_INPUT.inputIds) {
    return { nodes, inputs, outputs: [embedding] };
  }
  throw refusal(graph, 'its embeddings are not what one lookup by input_ids makes');
}

/** What nodes read from outside, weights apart. */
function readBy(graph: Graph, nodes: readonly NodeProto[]): string[] {
  const made = new Set(nodes.flatMap(({ output }) => output));
  const read = new Set(nodes.flatMap(({ input }) => input));
  return [...read].filter((name) => name !== '' && !made.has(name) && !graph.initializer(name));
}

const refusal = ({ file }: Graph, what: string): OctavoError =>
  new OctavoError('model_unsupported', `${file}: no layers can draft behind it: ${what}`);
