import { Tensor } from 'onnxruntime-node';
import { OctavoError } from '../../errors.js';
import type { Graph } from '../graph.js';
import type { GraphProto, NodeProto } from '../onnx/onnx_pb.js';
import { Probe, type ProbeStep } from '../probe/probe.js';

/** The input by which Optimum's merged decoders distinguish a prompt from a step with a past. */
const USE_CACHE = 'use_cache_branch';

/**
 * Keeps the branch of every `If` that is right for all steps, and drops the other. In merged
 * decoders that is the branch with a past (the past may be empty). Of rotary tables for short and
 * long contexts, it is the one for the longest sequence that is served, as vLLM does. A choice at
 * run time would hold for all sequences of the step, so a request's text would depend on the batch.
 *
 * @param servedLength longest sequence, in tokens
 */
export async function chooseBranches(graph: Graph, servedLength: number): Promise<void> {
  const conditionals = graph.nodes.filter(({ opType }) => opType === 'If');
  if (conditionals.length === 0) return;
  const probe = new Probe(graph);
  for (const node of conditionals) {
    const [condition] = node.input;
    const [short, long] = await decide(probe, node, servedLength);
    if (long === undefined) continue;
    inline(graph, node, long);
    if (condition === USE_CACHE) {
      graph.rewrites.push('took the branch with a past of the merged decoder');
    } else if (short !== long) {
      graph.rewrites.push(
        `node ${node.name} takes other tables for long sequences: took those for ${servedLength} tokens (--max-model-len)`,
      );
    }
  }
}

/** The condition's value for one token, and for the last token of the longest sequence. */
async function decide(
  probe: Probe,
  node: NodeProto,
  servedLength: number,
): Promise<(boolean | undefined)[]> {
  const [condition] = node.input;
  if (condition === USE_CACHE) return [true, true];
  const steps: ProbeStep[] = [1, servedLength].map((length) => ({ past: length - 1, length: 1 }));
  const useCache = new Tensor('bool', [true], [1]);
  try {
    const results = await probe.run([condition], steps, () => new Map([[USE_CACHE, useCache]]));
    return results.map((result) => result.get(condition)?.data[0] === 1);
  } catch {
    // It depends on more than lengths. If the node is live, the cut refuses it by name.
    return [undefined, undefined];
  }
}

function inline(graph: Graph, node: NodeProto, taken: boolean): void {
  const branch = node.attribute.find(
    ({ name }) => name === (taken ? 'then_branch' : 'else_branch'),
  )?.g;
  if (!branch) {
    throw new OctavoError(
      'model_file_corrupt',
      `${graph.file}: node ${node.name} (If) lacks a branch`,
    );
  }
  const outputs = node.output.map((name) => name);
  const names = new Map(branch.output.map(({ name }, index) => [name, outputs[index]]));
  node.output.forEach((name, index) => {
    node.output[index] = `${name}/octavo.branch`;
  });
  for (const tensor of branch.initializer) {
    const name = names.get(tensor.name);
    if (name !== undefined) tensor.name = name;
    graph.addInitializer(tensor);
  }
  const nodes = renamed(branch, names);
  // Tables inside a branch become weights of the graph.
  for (const { output, attribute } of nodes.filter(({ opType }) => opType === 'Constant')) {
    const table = attribute.find(({ name }) => name === 'value')?.t;
    if (table) graph.addInitializer({ ...table, name: output[0] });
  }
  graph.addNodes(
    ...nodes.filter(({ opType, output }) => opType !== 'Constant' || !graph.initializer(output[0])),
  );
}

/** The branch's nodes, with its outputs named as those of the If. */
function renamed(branch: GraphProto, names: ReadonlyMap<string, string>): NodeProto[] {
  const rename = (list: string[]): void => {
    list.forEach((name, index) => {
      list[index] = names.get(name) ?? name;
    });
  };
  for (const node of branch.node) {
    rename(node.input);
    rename(node.output);
  }
  return branch.node;
}
