import { OctavoError } from '../../errors.js';
import { EXPORT_ADVICE } from '../advice.js';
import type { Graph } from '../graph.js';
import { GroupQueryAttentionRecogniser } from '../recognisers/group-query-attention.js';
import { OBSERVED } from '../recognisers/observed-attention.js';
import { unfuseAttention } from '../recognisers/plain-multi-head.js';
import type {
  AttentionRecogniser,
  RecognisedSite,
  RecogniserHints,
} from '../recognisers/recogniser.js';
import { stateHeadSizes } from '../recognisers/state-head-sizes.js';

const RECOGNISERS: readonly AttentionRecogniser[] = [
  new GroupQueryAttentionRecogniser(),
  ...OBSERVED,
];

/** Operators that compute attention in forms that no recogniser knows. */
const FOREIGN = new Set([
  'SparseAttention',
  'QAttention',
  'PackedAttention',
  'PackedMultiHeadAttention',
  'DecoderAttention',
  'DecoderMaskedSelfAttention',
  'DecoderMaskedMultiHeadAttention',
]);

/**
 * All attention of a graph, in the order of its layers.
 *
 * @throws OctavoError `model_unsupported`: what was found instead, what is expected, what to export
 */
export async function findSites(graph: Graph, hints: RecogniserHints): Promise<RecognisedSite[]> {
  const foreign = graph.nodes.find(({ opType }) => FOREIGN.has(opType));
  if (foreign) {
    throw unsupported(
      graph,
      `attention as ${foreign.opType} (node ${foreign.name}) is not recognised`,
    );
  }
  unfuseAttention(graph);
  stateHeadSizes(graph);
  const sites: RecognisedSite[] = [];
  for (const recogniser of RECOGNISERS) sites.push(...(await recogniser.recognise(graph, hints)));
  if (sites.length === 0) throw unsupported(graph, describeWhatIsThere(graph));
  const place = new Map(graph.nodes.map((node, index) => [node, index]));
  return sites.sort((a, b) => (place.get(a.node) ?? 0) - (place.get(b.node) ?? 0));
}

function describeWhatIsThere(graph: Graph): string {
  const softmax = graph.nodes.find((node) => node.opType === 'Softmax');
  if (softmax) return `no keys of a KV cache come to its softmax (node ${softmax.name})`;
  const hasPast = [...graph.inputs.keys()].some((name) => name.startsWith('past_key_values'));
  return hasPast
    ? 'it has past_key_values but no attention that is recognised'
    : 'it has no attention and no past_key_values: it is not a decoder with a KV cache';
}

function unsupported(graph: Graph, what: string): OctavoError {
  const forms = RECOGNISERS.map((recogniser) => recogniser.form).join(', ');
  return new OctavoError(
    'model_unsupported',
    `${graph.file}: ${what}. Recognised forms: ${forms}. Export it with ${EXPORT_ADVICE}`,
  );
}
