import type { Tensor } from 'onnxruntime-node';
import type { Graph } from '../graph.js';
import type { SiteCandidate } from '../recognisers/candidate.js';
import { filled, type Probe, type ProbeStep } from './probe.js';
import { sliceGraph } from './subgraph.js';

/** The first two differ in the past alone: what a shape has to do with its length shows in the difference. */
type Steps = readonly [ProbeStep, ProbeStep, ...ProbeStep[]];
const CHUNKS: Steps = [
  { past: 6, length: 5 },
  { past: 9, length: 5 },
];
/** Some masks are made for whole prompts and single tokens alone. */
const PROMPT_OR_TOKEN: Steps = [
  { past: 6, length: 1 },
  { past: 9, length: 1 },
  { past: 0, length: 5 },
];

export interface Sizes {
  readonly numHeads: number;
  readonly numKvHeads: number;
  readonly headSize: number;
}

/** What came out of some short steps on random values. */
export interface Near {
  readonly steps: Steps;
  /** By step. */
  readonly given: readonly ReadonlyMap<string, Tensor>[];
  readonly results: readonly ReadonlyMap<string, Tensor>[];
  /** Shapes that the mask is made from. */
  readonly shapes: readonly string[];
}

/** Runs the site on random values. Some exporters fold batch and heads into one axis: both ranks of a query are tried. */
export async function runNear(probe: Probe, site: SiteCandidate, sizes: Sizes): Promise<Near> {
  const shapes = shapesOfMask(probe.graph, site);
  const outputs = new Set([
    site.output,
    ...[...site.factors, ...site.capFactors].map(({ tensor }) => tensor),
    ...shapes,
    ...(site.mask?.scores ? [site.mask.scores] : []),
  ]);
  const wanted = [...outputs].filter((name) => !probe.graph.weight(name));
  const attempt = async (steps: Steps, rank: number): Promise<Near> => {
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
  { numHeads, numKvHeads, headSize }: Sizes,
  { past, length }: ProbeStep,
  rank: number,
): Map<string, Tensor> {
  let seed = 1;
  // Small numbers with a fixed seed; not for cryptography: Numerical Recipes' linear congruence.
  const next = (): number => {
    seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
    return seed / 2 ** 31 - 1;
  };
  const random = (dims: number[]): Tensor => filled(1, dims, next);
  const query =
    site.queryLayout === 'tokens'
      ? [1, length, numHeads * headSize]
      : [1, numHeads, length, headSize].slice(4 - rank);
  const fresh =
    site.keyLayout === 'tokens'
      ? [1, length, numKvHeads * headSize]
      : [1, numKvHeads, length, headSize];
  return new Map([
    [site.pastKey, random([1, numKvHeads, past, headSize])],
    [site.pastValue, random([1, numKvHeads, past, headSize])],
    [site.key, random(fresh)],
    [site.value, random(fresh)],
    [site.query, random(query)],
  ]);
}

/** All `Shape` nodes that the mask is made from. */
function shapesOfMask(graph: Graph, { mask }: SiteCandidate): string[] {
  if (!mask) return [];
  const part = sliceGraph(graph, [mask.tensor], new Set(mask.scores ? [mask.scores] : []));
  return part.nodes.filter(({ opType }) => opType === 'Shape').map((node) => node.output[0]);
}
