import { OctavoError } from '../../errors.js';
import type { Graph } from '../graph.js';
import { type ObservedSite, observeSite } from '../probe/observe-site.js';
import { Probe } from '../probe/probe.js';
import type { SiteCandidate } from '../site-candidate.js';
import { CacheFlow } from './cache-flow.js';
import { findDecomposed } from './decomposed-attention.js';
import { findMultiHead } from './multi-head-attention.js';
import { findOnnxAttention } from './onnx-attention.js';
import type { RecognizedAttention, RecognizerHints, SiteRecognizer } from './recognizer.js';
import { replaceSite } from './replace-site.js';

/** Finds attention of one form, before its mask is probed. */
type Finder = (graph: Graph, flow: CacheFlow) => SiteCandidate[];

/**
 * Forms whose mask and scale other nodes of the graph compute. They are found by their structure,
 * and described by running them.
 */
export class ObservedAttentionRecognizer implements SiteRecognizer {
  readonly form: string;
  readonly #find: Finder;

  constructor(form: string, find: Finder) {
    this.form = form;
    this.#find = find;
  }

  async recognize(graph: Graph, { maxLength }: RecognizerHints): Promise<RecognizedAttention[]> {
    const found = this.#find(graph, new CacheFlow(graph));
    if (found.length === 0) return [];
    const candidates = found.map((site, index) => withOwner(graph, site, found.slice(0, index)));
    const probe = new Probe(graph);
    const seen: ObservedSite[] = [];
    for (const site of candidates) seen.push(await observeSite(probe, site, maxLength));
    graph.rewrites.push(
      `ran the attention of ${candidates.length} layers (${this.form}) on random numbers to see what it does`,
    );
    return candidates.map((site, i) => replaceSite(graph, site, seen[i]));
  }
}

/** A site whose cache an earlier site owns reads that site's keys and values, and adds none. */
function withOwner(
  graph: Graph,
  site: SiteCandidate,
  earlier: readonly SiteCandidate[],
): SiteCandidate {
  const { pastKey, pastValue, key, value, joined } = site;
  const owner = earlier.find((other) => other.pastKey === pastKey || other.pastValue === pastValue);
  if (!owner) return site;
  const isSame = owner.pastKey === pastKey && owner.pastValue === pastValue;
  if (isSame && owner.key === key && owner.value === value && joined)
    return { ...site, reads: joined };
  throw new OctavoError(
    'model_unsupported',
    `${graph.file}: node ${site.node.name} (${site.form}): it reads the past of ${owner.node.name} (${pastKey}, ${pastValue}), but other ` +
      'fresh keys or values. Supported: a cache of its own, or the keys and values of an earlier layer as they are',
  );
}

export const OBSERVED: readonly SiteRecognizer[] = [
  new ObservedAttentionRecognizer('MultiHeadAttention', findMultiHead),
  new ObservedAttentionRecognizer('Attention', findOnnxAttention),
  new ObservedAttentionRecognizer('decomposed', findDecomposed),
];
