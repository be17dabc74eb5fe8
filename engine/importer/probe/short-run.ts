import type { Tensor } from 'onnxruntime-node';
import { noise } from '../../noise.js';
import type { Graph } from '../graph.js';
import type { SiteCandidate } from '../site-candidate.js';
import { filled, type Probe, type ProbeStep } from './probe.js';
import { sliceGraph } from './subgraph.js';

/**
 * The first two steps differ only in the length of the past, which shows how shapes depend on it.
 */
type Steps = readonly [ProbeStep, ProbeStep, ...ProbeStep[]];
const CHUNKS: Steps = [
  { past: 6, length: 5 },
  { past: 9, length: 5 },
];
/** Some masks support only whole prompts and single tokens. */
const PROMPT_OR_TOKEN: Steps = [
  { past: 6, length: 1 },
  { past: 9, length: 1 },
  { past: 0, length: 5 },
];

export interface Sizes {
  readonly numHeads: number;
  readonly numKvHeads: number;
  /**
   * Size of a query's and a key's head; values may differ (DeepSeek's multi-head latent attention).
   */
  readonly keySize: number;
  readonly valueSize: number;
}

/** Results of a few short steps on random values. */
export interface ShortRun {
  readonly steps: Steps;
  /** Input tensors, by step. */
  readonly given: readonly ReadonlyMap<string, Tensor>[];
  readonly results: readonly ReadonlyMap<string, Tensor>[];
  /** Shape tensors on which the mask depends. */
  readonly shapes: readonly string[];
}

/**
 * Runs the site on random values. Some exporters fold batch and heads into one axis, so both ranks
 * of a query are tried.
 */
export async function runShort(probe: Probe, site: SiteCandidate, sizes: Sizes): Promise<ShortRun> {
  const shapes = shapesOfMask(probe.graph, site);
  const outputs = new Set([
    site.output,
    ...site.guards.map(({ condition }) => condition),
    ...[...site.factors, ...site.capFactors].map(({ tensor }) => tensor),
    ...shapes,
    ...(site.mask?.scores ? [site.mask.scores] : []),
  ]);
  const wanted = [...outputs].filter((name) => !probe.graph.weight(name));
  const attempt = async (steps: Steps, rank: number): Promise<ShortRun> => {
    const give = (step: ProbeStep): Map<string, Tensor> => randomFeeds(site, sizes, step, rank);
    const results = await probe.run(wanted, steps, give);
    return { steps, given: steps.map(give), results, shapes };
  };
  let failure: unknown;
  for (const rank of site.queryLayout === 'tokens' ? [3] : [4, 3]) {
    for (const steps of [CHUNKS, PROMPT_OR_TOKEN]) {
      try {
        return await attempt(steps, rank);
      } catch (error) {
        failure ??= error;
      }
    }
  }
  throw failure;
}

function randomFeeds(
  site: SiteCandidate,
  { numHeads, numKvHeads, keySize, valueSize }: Sizes,
  { past, length }: ProbeStep,
  rank: number,
): Map<string, Tensor> {
  const next = noise(1);
  const random = (dims: number[]): Tensor => filled(1, dims, next);
  const query =
    site.queryLayout === 'tokens'
      ? [1, length, numHeads * keySize]
      : [1, numHeads, length, keySize].slice(4 - rank);
  const given = new Map([[site.query, random(query)]]);
  if (site.reads) {
    given.set(site.reads.key, random([1, numKvHeads, past + length, keySize]));
    given.set(site.reads.value, random([1, numKvHeads, past + length, valueSize]));
    return given;
  }
  const fresh = (size: number): Tensor =>
    random(
      site.keyLayout === 'tokens' ? [1, length, numKvHeads * size] : [1, numKvHeads, length, size],
    );
  return given
    .set(site.pastKey, random([1, numKvHeads, past, keySize]))
    .set(site.pastValue, random([1, numKvHeads, past, valueSize]))
    .set(site.key, fresh(keySize))
    .set(site.value, fresh(valueSize));
}

/** All `Shape` nodes on which the mask and the guards depend. */
function shapesOfMask(graph: Graph, { mask, guards }: SiteCandidate): string[] {
  if (!mask) return [];
  const outputs = [mask.tensor, ...guards.map(({ condition }) => condition)];
  const part = sliceGraph(graph, outputs, new Set(mask.scores ? [mask.scores] : []));
  return part.nodes.filter(({ opType }) => opType === 'Shape').map((node) => node.output[0]);
}
