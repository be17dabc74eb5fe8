import { OctavoError } from '../../errors.js';
import { EXPORT_ADVICE } from '../advice.js';
import type { Graph } from '../graph.js';
import { GroupQueryAttentionRecognizer } from '../recognizers/group-query-attention.js';
import { LinearAttentionRecognizer } from '../recognizers/linear-attention.js';
import { OBSERVED } from '../recognizers/observed-attention.js';
import { unfuseAttention } from '../recognizers/plain-multi-head.js';
import type { RecognizedSite, RecognizerHints, SiteRecognizer } from '../recognizers/recognizer.js';
import { ShortConvolutionRecognizer } from '../recognizers/short-convolution.js';
import { stateHeadSizes } from '../recognizers/state-head-sizes.js';

/** Of layers with a state. They come first: no observation of attention runs their nodes then. */
const RECURRENT: readonly SiteRecognizer[] = [
  new ShortConvolutionRecognizer(),
  new LinearAttentionRecognizer(),
];

const RECOGNIZERS: readonly SiteRecognizer[] = [new GroupQueryAttentionRecognizer(), ...OBSERVED];

/** Attention operators that no recognizer supports. */
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
 * All attention of a graph, and its layers with a state, in the order of its layers.
 *
 * @throws OctavoError `model_unsupported`: says what was found, what is expected and how to export
 */
export async function findSites(graph: Graph, hints: RecognizerHints): Promise<RecognizedSite[]> {
  const foreign = graph.nodes.find(({ opType }) => FOREIGN.has(opType));
  if (foreign) {
    throw unsupported(
      graph,
      `attention as ${foreign.opType} (node ${foreign.name}) is not recognized`,
    );
  }
  unfuseAttention(graph);
  stateHeadSizes(graph);
  const sites: RecognizedSite[] = [];
  for (const recognizer of [...RECURRENT, ...RECOGNIZERS])
    sites.push(...(await recognizer.recognize(graph, hints)));
  if (sites.length === 0) throw unsupported(graph, describeWhatIsThere(graph));
  const place = new Map(graph.nodes.map((node, index) => [node, index]));
  return sites.sort((a, b) => (place.get(a.node) ?? 0) - (place.get(b.node) ?? 0));
}

function describeWhatIsThere(graph: Graph): string {
  const softmax = graph.nodes.find((node) => node.opType === 'Softmax');
  if (softmax) return `no keys of a KV cache come to its softmax (node ${softmax.name})`;
  const hasPast = [...graph.inputs.keys()].some((name) => name.startsWith('past_key_values'));
  return hasPast
    ? 'it has past_key_values but no attention that is recognized'
    : 'it has no attention and no past_key_values: it is not a decoder with a KV cache';
}

function unsupported(graph: Graph, what: string): OctavoError {
  const forms = RECOGNIZERS.map((recognizer) => recognizer.form).join(', ');
  return new OctavoError(
    'model_unsupported',
    `${graph.file}: ${what}. Recognized forms: ${forms}. Export it with ${EXPORT_ADVICE}`,
  );
}
