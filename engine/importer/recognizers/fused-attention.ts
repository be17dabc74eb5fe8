import { OctavoError } from '../../errors.js';
import { EXPORT_ADVICE } from '../advice.js';
import type { Graph } from '../graph.js';
import { floatAttribute } from '../onnx/nodes.js';
import type { NodeProto } from '../onnx/onnx_pb.js';
import type { HeadLayout, SiteCandidate } from '../site-candidate.js';
import type { CacheFlow } from './cache-flow.js';
import { guardsBehind } from './row-guards.js';

/** An operator that computes attention in one node, over separate query, key and value. */
export interface FusedForm {
  /** Name of the operator. */
  readonly name: string;
  /** Positions of its inputs; those of the past are the last that are supported. */
  readonly inputs: Readonly<
    Record<'query' | 'key' | 'value' | 'mask' | 'past' | 'pastValue', number>
  >;
  /** Which of its forms are supported, for messages. */
  readonly supported: string;
}

/** What a node of the form states in a way of its own. */
export interface FusedOptions {
  /** @param pastValue the graph's input of past values */
  readonly numHeads: (pastValue: string) => number;
  /** Of query, output, and of key and value where the past is an input of the node. */
  readonly layout: HeadLayout;
  /** Whether the node masks later tokens itself, beside its mask. */
  readonly causal: boolean;
  readonly softcap: number;
}

/**
 * Describes a node. Its past is an input of the node, or is joined before it.
 *
 * @throws OctavoError `model_unsupported` for an input that the form does not list, and for keys or
 *   values without a past
 */
export function fusedCandidate(
  graph: Graph,
  flow: CacheFlow,
  node: NodeProto,
  form: FusedForm,
  { numHeads, layout, causal, softcap }: FusedOptions,
): SiteCandidate {
  const { inputs } = form;
  const input = (name: keyof typeof inputs): string => node.input[inputs[name]] ?? '';
  const extra = node.input.findIndex((name, index) => index > inputs.pastValue && name !== '');
  if (extra >= 0) {
    throw unsupportedNode(graph, node, form, `its input ${extra} (${node.input[extra]})`);
  }
  const past = input('past');
  const keys = flow.cacheOf(past, input('key'));
  const values = flow.cacheOf(input('pastValue'), input('value'));
  if (!keys || !values) {
    throw unsupportedNode(
      graph,
      node,
      form,
      `its key ${input('key')} or value ${input('value')} has no past of its own; expected past_key and past_value, or Concat(past, new)`,
    );
  }
  const mask = input('mask');
  return {
    form: form.name,
    node,
    numHeads: numHeads(values.past),
    query: input('query'),
    queryLayout: layout,
    key: keys.fresh,
    value: values.fresh,
    keyLayout: past ? layout : 'heads',
    pastKey: keys.past,
    pastValue: values.past,
    joined: past ? null : { key: keys.joined, value: values.joined },
    reads: null,
    output: node.output[0],
    outputLayout: layout,
    scale: floatAttribute(node, 'scale', 0) || null,
    softcap,
    factors: [],
    capFactors: [],
    mask: mask ? { tensor: mask, scores: null, causal } : null,
    guards: guardsBehind(graph, flow, node.output[0]),
  };
}

/** @param what of the node is not supported */
export function unsupportedNode(
  graph: Graph,
  node: NodeProto,
  { name, supported }: FusedForm,
  what: string,
): OctavoError {
  return new OctavoError(
    'model_unsupported',
    `${graph.file}: node ${node.name} (${name}): ${what} is not supported. Supported: ${supported}; ` +
      `export the model so, or with ${EXPORT_ADVICE}`,
  );
}
