import type { AttentionShape } from '../../attention/paged-attention.js';
import { OctavoError, reasonOf } from '../../errors.js';
import { EXPORT_ADVICE } from '../advice.js';
import type { Graph } from '../graph.js';
import { shapeOf } from '../onnx/nodes.js';
import type { Factor, SiteCandidate } from '../site-candidate.js';
import { readFloats } from '../tensor-data.js';
import { compareSite } from './compare-site.js';
import { observeMask } from './observe-mask.js';
import type { Probe } from './probe.js';
import { runShort, type ShortRun, type Sizes } from './short-run.js';

export interface ObservedSite {
  /**
   * `headSize` is the larger one of keys and values. The smaller are padded with zeros, which
   * change nothing.
   */
  readonly shape: AttentionShape;
  readonly sizes: Sizes;
  /** Rank of the output: 4, or 3 where the exporter folds batch and heads into one axis. */
  readonly outputRank: number;
}

/**
 * Finds out what a candidate computes by running its nodes, and nothing else of the model:
 * exporters write masks and scales in countless ways, but their effect on numbers can be measured.
 * First a step runs with random queries, keys and values; then the mask alone at long lengths, to
 * find windows. Finally, the nodes' result must equal that of the described attention.
 *
 * @param maxLength length in tokens up to which masks are probed
 * @throws OctavoError `model_unsupported`: names the node, and what no attention shape can express
 */
export async function observeSite(
  probe: Probe,
  site: SiteCandidate,
  maxLength: number,
): Promise<ObservedSite> {
  const { graph } = probe;
  const sizes = cacheSizes(graph, site);
  const { numHeads, numKvHeads, keySize, valueSize } = sizes;
  try {
    const shortRun = await runShort(probe, site, sizes);
    const mask = await observeMask(probe, site, sizes, shortRun, maxLength);
    if (typeof mask === 'string') throw new Error(mask);
    const shape: AttentionShape = {
      numHeads,
      numKvHeads,
      headSize: Math.max(keySize, valueSize),
      ...mask,
      scale: (site.scale ?? 1 / Math.sqrt(keySize)) * product(graph, site.factors, shortRun),
      softcap: 0,
      sinks: null,
      rotary: null,
    };
    const cap =
      site.softcap || (site.capFactors.length > 0 ? product(graph, site.capFactors, shortRun) : 0);
    // softcap * tanh(x / softcap): the division is one of the factors before the tanh.
    const described =
      site.capFactors.length > 0
        ? { ...shape, softcap: cap, scale: shape.scale * cap }
        : { ...shape, softcap: cap };
    for (const [index, step] of shortRun.steps.entries()) {
      compareSite(site, described, sizes, step, shortRun.given[index], shortRun.results[index]);
    }
    return {
      shape: described,
      sizes,
      outputRank: shortRun.results[0].get(site.output)?.dims.length ?? 0,
    };
  } catch (cause) {
    if (cause instanceof OctavoError) throw cause;
    const reason = reasonOf(cause);
    throw new OctavoError(
      'model_unsupported',
      `${graph.file}: node ${site.node.name} (${site.form}): ${reason}. Supported: causal attention over a cache of its own, with ` +
        `a scale, a softcap, a sliding window or ALiBi; export the model with these alone, or with ${EXPORT_ADVICE}`,
      { cause },
    );
  }
}

function cacheSizes(
  graph: Graph,
  { pastKey, pastValue, numHeads, node, form }: SiteCandidate,
): Sizes {
  const [key, value] = [pastKey, pastValue].map((name) => shapeOf(graph.inputs.get(name)));
  const [, heads, , keySize] = key ?? [];
  const valueSize = value?.[3];
  if (heads && keySize && valueSize && value[1] === heads && numHeads % heads === 0) {
    return { numHeads, numKvHeads: heads, keySize, valueSize };
  }
  throw new OctavoError(
    'model_unsupported',
    `${graph.file}: node ${node.name} (${form}): its cache has the shapes [${key?.map((n) => n ?? '?').join(', ')}] and ` +
      `[${value?.map((n) => n ?? '?').join(', ')}]; expected [batch, kv heads, past, head size] with the same kv heads, dividing ${numHeads}`,
  );
}

function product(graph: Graph, factors: readonly Factor[], { results }: ShortRun): number {
  return factors.reduce((all, { tensor, divides }) => {
    const weight = graph.weight(tensor);
    const values = weight ? readFloats(weight, graph.file) : results[0].get(tensor)?.data;
    if (values?.length !== 1) throw new Error(`its factor ${tensor} is not one number`);
    const value = Number(values[0]);
    return divides ? all / value : all * value;
  }, 1);
}
