import {
  isDelta,
  isGated,
  type LinearAttention,
  UPDATE_RULES,
} from '../../recurrent/recurrence.js';
import type { Graph } from '../graph.js';
import { lastDimension } from '../last-dimension.js';
import { floatAttribute, intAttribute, shapeOf } from '../onnx/nodes.js';
import type { NodeProto } from '../onnx/onnx_pb.js';
import type { RecognizedRecurrence, SiteRecognizer } from './recognizer.js';
import {
  type Allowed,
  checkAttributes,
  nodesOf,
  replaceStateNode,
  stateInputOf,
  stringAttribute,
  unsupportedState,
} from './state-node.js';

const ATTRIBUTES: Allowed = {
  update_rule: UPDATE_RULES,
  q_num_heads: null,
  kv_num_heads: null,
  scale: null,
  // How a GPU cuts its work; the result is the same.
  chunk_size: null,
  state_window: [0],
};

/**
 * `com.microsoft.LinearAttention`: queries, keys, values, state `[1, heads, keySize, valueSize]`,
 * decays, update rates. Gated DeltaNet (Qwen 3.5, Qwen3-Next) and Mamba 2.
 */
export class LinearAttentionRecognizer implements SiteRecognizer {
  readonly form = 'LinearAttention';

  recognize(graph: Graph): RecognizedRecurrence[] {
    return nodesOf(graph, this.form).map((node) => {
      checkAttributes(graph, node, ATTRIBUTES);
      const recurrence = describe(graph, node);
      const [query, key, value, , decays = '', rates = ''] = node.input;
      const inputs = [query, key, value];
      if (isGated(recurrence)) inputs.push(decays);
      if (isDelta(recurrence)) inputs.push(rates);
      return replaceStateNode(graph, node, recurrence, inputs);
    });
  }
}

function describe(graph: Graph, node: NodeProto): LinearAttention {
  const [query, key, value, past, decays = '', rates = ''] = node.input;
  const state = shapeOf(graph.inputs.get(stateInputOf(graph, node, past)));
  const stated = stringAttribute(node, 'update_rule', 'gated_delta');
  const rule = UPDATE_RULES.find((known) => known === stated) ?? 'gated_delta';
  const numHeads = intAttribute(node, 'kv_num_heads', 0);
  const numQueryHeads = intAttribute(node, 'q_num_heads', 0);
  const [keySize, valueSize] = [state?.[2] ?? 0, state?.[3] ?? 0];
  const refuse = (what: string): Error => unsupportedState(graph, node, what);
  if (keySize < 1 || valueSize < 1 || (state?.[1] ?? numHeads) !== numHeads) {
    throw refuse(`its state ${past} does not state [batch, ${numHeads}, key size, value size]`);
  }
  const width = (tensor: string): number => {
    let unknown = '';
    const size = lastDimension(graph, tensor, ({ name, opType }) => {
      unknown = ` (behind node ${name}, ${opType})`;
    });
    if (size !== undefined) return size;
    throw refuse(`no weight tells how wide its input ${tensor || '(absent)'} is${unknown}`);
  };
  const expect = (what: string, tensor: string, sizes: readonly number[]): number => {
    const size = width(tensor);
    if (sizes.includes(size)) return size;
    throw refuse(`its ${what} ${tensor} are ${size} wide; expected ${sizes.join(' or ')}`);
  };
  const numKeyHeads = width(key) / keySize;
  const fits = (heads: number): boolean => Number.isInteger(numHeads / heads);
  if (!fits(numKeyHeads) || !(fits(numQueryHeads) || Number.isInteger(numQueryHeads / numHeads))) {
    throw refuse(
      `its heads do not fit: ${numQueryHeads} of queries, ${numKeyHeads} of keys, ${numHeads} states`,
    );
  }
  expect('queries', query, [numQueryHeads * keySize]);
  expect('values', value, [numHeads * valueSize]);
  const layer: LinearAttention = {
    kind: 'linear-attention',
    rule,
    numHeads,
    numQueryHeads,
    numKeyHeads,
    keySize,
    valueSize,
    scale: floatAttribute(node, 'scale', 0) || 1 / Math.sqrt(keySize),
    decaysByKey: false,
    sharesRate: false,
  };
  const byKey = numHeads * keySize;
  const decaysByKey =
    isGated(layer) && expect('decays', decays, [numHeads, byKey]) === byKey && keySize > 1;
  const sharesRate = isDelta(layer) && expect('rates', rates, [numHeads, 1]) < numHeads;
  return { ...layer, decaysByKey, sharesRate };
}
