import { OctavoError } from '../../errors.js';
import type { Graph } from '../graph.js';
import { STEP_INPUT } from '../imported-model.js';
import { makeNode } from '../onnx/nodes.js';
import type { NodeProto } from '../onnx/onnx_pb.js';

/** Operators that put rows of images over those of text; the number of the input with the text. */
const MERGES: Readonly<Record<string, readonly number[]>> = {
  Where: [1, 2],
  ScatterND: [0],
  ScatterElements: [0],
};

/**
 * An embedding may also put the rows of images in the place of image tokens, counting tokens from
 * the beginning of its input: that works for one whole prompt, not for pieces of many. Here it
 * keeps the rows of tokens alone; the runner puts rows of images where they belong.
 *
 * @param output the embedding's output
 * @throws OctavoError `model_unsupported` when the rows of text cannot be told apart
 */
export function textRows(graph: Graph, output: string): void {
  const media = [...graph.inputs.keys()].filter((name) => name !== STEP_INPUT.inputIds);
  const touched = new Set(media);
  for (const node of graph.nodes) {
    if (node.input.some((name) => touched.has(name))) {
      for (const name of node.output) if (name !== '') touched.add(name);
    }
  }
  let tensor = output;
  while (touched.has(tensor)) {
    const node = graph.producer(tensor);
    const text = node && MERGES[node.opType]?.map((index) => node.input[index]);
    const kept = text?.find((name) => !touched.has(name) && !graph.isConstant(name));
    if (node && kept !== undefined) {
      const bypass = makeNode('Identity', node.name, [kept], [tensor]);
      graph.replaceNodes([node], [bypass]);
      graph.rewrites.push(`took the rows of text before node ${node.name} (${node.opType})`);
      return;
    }
    const next = text?.[0] ?? firstTouched(node, touched);
    if (next === undefined || media.includes(next)) throw unclear(graph, node, tensor);
    tensor = next;
  }
}

/** The way back to the merge goes through operators that keep rows, such as a Reshape. */
function firstTouched(
  node: NodeProto | undefined,
  touched: ReadonlySet<string>,
): string | undefined {
  const found = node?.input.filter((name) => touched.has(name)) ?? [];
  return found.length === 1 ? found[0] : undefined;
}

function unclear(graph: Graph, node: NodeProto | undefined, tensor: string): OctavoError {
  const where = node ? `node ${node.name} (${node.opType})` : tensor;
  return new OctavoError(
    'model_unsupported',
    `${graph.file}: ${where} mixes rows of text and of images; expected Where, ScatterND or ScatterElements between them`,
  );
}
