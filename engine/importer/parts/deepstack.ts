import { OctavoError } from '../../errors.js';
import type { Graph } from '../graph.js';
import { makeNode } from '../onnx/nodes.js';
import type { NodeProto } from '../onnx/onnx_pb.js';

/** Features of a layer of the vision encoder, by number: `deepstack_features_0`, ... */
const NAME = /^deepstack\D*(\d+)$/;

/** Where a step may add features: `Identity` nodes of these names, until `takeImages`. */
const PLACE = /^octavo\.deepstack\.(\d+)$/;

export function isDeepstack(name: string): boolean {
  return NAME.test(name);
}

/** Names of features among inputs or outputs, in the order of their numbers. */
export function deepstackNames(names: Iterable<string>): string[] {
  const number = (name: string): number => Number(NAME.exec(name)?.[1]);
  return [...names].filter(isDeepstack).sort((a, b) => number(a) - number(b));
}

/**
 * DeepStack (Meng et al. 2024) adds features of several layers of the vision encoder to the hidden
 * states of image tokens, behind the first layers of the decoder. Decoders have an input for each
 * layer, with zeros at the tokens of text:
 *
 *     hidden -> Add(., deepstack_features_0) -> [layer 1]
 *
 * For text, there is nothing to add, so the node is left out; it keeps its place for `takeImages`.
 *
 * @throws OctavoError `model_unsupported` when such an input is not added to hidden states
 */
export function setDeepstackAside(graph: Graph): void {
  const inputs = deepstackNames(graph.inputs.keys());
  for (const [index, name] of inputs.entries()) {
    const [reader, ...others] = graph.nodes.filter(({ input }) => input.includes(name));
    const hidden = reader?.input.find((input) => input !== name && !graph.isConstant(input));
    if (reader?.opType !== 'Add' || hidden === undefined || others.length > 0) {
      const what = reader ? `node ${reader.name} (${reader.opType})` : 'nothing';
      throw new OctavoError(
        'model_unsupported',
        `${graph.file}: ${what} reads the input ${name}; expected one Add of it and hidden states`,
      );
    }
    const place = makeNode('Identity', `octavo.deepstack.${index}`, [hidden], reader.output);
    graph.replaceNodes([reader], [place]);
  }
  if (inputs.length > 0) graph.rewrites.push(`took ${inputs.join(', ')} as what images add`);
}

/** The places of features, in their order. */
export function deepstackPlaces(graph: Graph): NodeProto[] {
  const number = ({ name }: NodeProto): number => Number(PLACE.exec(name)?.[1]);
  return graph.nodes.filter(({ name }) => PLACE.test(name)).sort((a, b) => number(a) - number(b));
}
