import { Tensor } from 'onnxruntime-node';
import type { AttentionShape } from '../../attention/paged-attention.js';
import { OctavoError } from '../../errors.js';
import type { Graph } from '../graph.js';
import { shapeOf } from '../graph.js';
import type { Factor, SiteCandidate } from '../recognisers/candidate.js';
import { readFloats } from '../tensor-data.js';
import { classifyMask, type MaskRows, type ObservedMask } from './classify-mask.js';
import { compareSite } from './compare-site.js';
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
/** Far enough for the windows that models have, 32768 at most, and near enough to take no time. */
const FARTHEST = 32_768 + 64;

export interface ObservedSite {
  readonly shape: AttentionShape;
  /** Some exporters fold batch and heads into one axis: 3, not 4. */
  readonly outputRank: number;
}

/**
 * Finds out what a candidate computes by running its nodes, and nothing else of the model: exporters write masks and scales in
 * countless ways, but what they do to numbers can be seen. First a step with random queries, keys and values; then masks
 * alone, far out, to see windows. In the end the result of the nodes must be the result of the described attention.
 *
 * @param maxLength how far out masks are looked at
 * @throws OctavoError `model_unsupported`: which node does what no attention shape can say
 */
export async function observeSite(
  probe: Probe,
  site: SiteCandidate,
  maxLength: number,
): Promise<ObservedSite> {
  const { graph } = probe;
  const [numKvHeads, headSize] = cacheSizes(graph, site);
  const sizes = { numHeads: site.numHeads, numKvHeads, headSize };
  try {
    const near = await runNear(probe, site, sizes);
    const mask = await observeMask(probe, site, sizes, near, maxLength);
    if (typeof mask === 'string') throw new Error(mask);
    const shape: AttentionShape = {
      ...sizes,
      ...mask,
      scale: (site.scale ?? 1) * product(graph, site.factors, near),
      softcap: 0,
      sinks: null,
      rotary: null,
    };
    const cap =
      site.softcap || (site.capFactors.length > 0 ? product(graph, site.capFactors, near) : 0);
    // softcap * tanh(x / softcap): the division is among the factors before the tanh.
    const described =
      site.capFactors.length > 0
        ? { ...shape, softcap: cap, scale: shape.scale * cap }
        : { ...shape, softcap: cap };
    for (const [index, step] of near.steps.entries()) {
      compareSite(site, described, step, near.given[index], near.results[index]);
    }
    return { shape: described, outputRank: near.results[0].get(site.output)?.dims.length ?? 0 };
  } catch (cause) {
    if (cause instanceof OctavoError) throw cause;
    const reason = cause instanceof Error ? cause.message.split('\n')[0] : String(cause);
    throw new OctavoError(
      'model_unsupported',
      `${graph.file}: node ${site.node.name} (${site.form}): ${reason}. Supported: causal attention over a cache of its own, with ` +
        'a scale, a softcap, a sliding window or ALiBi; export the model with these alone, or with ' +
        "ONNX Runtime GenAI's model builder (python -m onnxruntime_genai.models.builder -p fp32 -e cpu)",
      { cause },
    );
  }
}

interface Sizes {
  readonly numHeads: number;
  readonly numKvHeads: number;
  readonly headSize: number;
}

/** What came out of some short steps on random values. */
interface Near {
  readonly steps: Steps;
  /** By step. */
  readonly given: readonly ReadonlyMap<string, Tensor>[];
  readonly results: readonly ReadonlyMap<string, Tensor>[];
  /** Shapes that the mask is made from. */
  readonly shapes: readonly string[];
}

function cacheSizes(graph: Graph, site: SiteCandidate): [number, number] {
  const [key, value] = [site.pastKey, site.pastValue].map((n) => shapeOf(graph.inputs.get(n)));
  const [heads, size] = [key?.[1], key?.[3]];
  if (heads && size && value?.[1] === heads && value[3] === size && site.numHeads % heads === 0) {
    return [heads, size];
  }
  throw new OctavoError(
    'model_unsupported',
    `${graph.file}: node ${site.node.name} (${site.form}): its cache has the shapes [${key?.map((n) => n ?? '?').join(', ')}] and ` +
      `[${value?.map((n) => n ?? '?').join(', ')}]; expected [batch, kv heads, past, head size] alike, with kv heads dividing ${site.numHeads}`,
  );
}

/** Runs the site on random values. Some exporters fold batch and heads into one axis: both ranks of a query are tried. */
async function runNear(probe: Probe, site: SiteCandidate, sizes: Sizes): Promise<Near> {
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

async function observeMask(
  probe: Probe,
  site: SiteCandidate,
  sizes: Sizes,
  near: Near,
  maxLength: number,
): Promise<ObservedMask | string> {
  const { mask } = site;
  if (!mask) return { slidingWindow: 0, alibiSlopes: null };
  // Three places: a mask in chunks would look like a window in one of them.
  const [{ past: short, length }] = near.steps;
  const farthest = Math.min(maxLength, FARTHEST);
  const places = [short, Math.floor(farthest * 0.6), farthest - length];
  const steps = places.map((past) => ({ past: Math.max(short, past), length }));
  const scoreDims = mask.scores ? (near.results[0].get(mask.scores)?.dims ?? []) : [];
  const feeds = (step: ProbeStep): Map<string, Tensor> => {
    const given = new Map(near.shapes.map((name) => [name, extrapolate(near, name, step)]));
    if (mask.scores) {
      const dims = [...scoreDims.slice(0, -1), step.past + step.length];
      given.set(
        mask.scores,
        filled(1, dims, () => 0),
      );
    }
    return given;
  };
  const results = await probe.run([mask.tensor], steps, feeds);
  const rows = results.map((result, i) =>
    maskRows(result.get(mask.tensor), steps[i], mask.causal, sizes.numHeads),
  );
  const seen = classifyMask(rows);
  if (typeof seen === 'string' || !seen.alibiSlopes) return seen;
  const slopes = seen.alibiSlopes;
  return {
    ...seen,
    alibiSlopes: new Float32Array(sizes.numHeads).map((_, h) => slopes[h] ?? slopes[0]),
  };
}

/** What a shape would be with more past: its sizes grow evenly with it, or not at all. */
function extrapolate(
  { steps: [short, longer], results }: Near,
  name: string,
  { past }: ProbeStep,
): Tensor {
  const [a, b] = results.map((result) =>
    Array.from(result.get(name)?.data as BigInt64Array, Number),
  );
  const sizes = a.map((size, i) => {
    const growth = (b[i] - size) / (longer.past - short.past);
    return BigInt(size + growth * (past - short.past));
  });
  return new Tensor('int64', BigInt64Array.from(sizes), [sizes.length]);
}

/** As `[heads, queries, past + queries]`; a mask of conditions becomes one of numbers. */
function maskRows(
  tensor: Tensor | undefined,
  { past, length }: ProbeStep,
  causal: boolean,
  numHeads: number,
): MaskRows {
  const total = past + length;
  const dims = tensor?.dims ?? [];
  const heads = dims.slice(0, -2).reduce((a, b) => a * b, 1);
  const spread = dims.at(-2) === 1;
  if (
    !tensor ||
    dims.at(-1) !== total ||
    (!spread && dims.at(-2) !== length) ||
    (heads !== 1 && heads !== numHeads)
  ) {
    throw new Error(
      `its mask has the shape [${dims.join(', ')}]; expected [1, ${numHeads} or 1, ${length}, ${total}]`,
    );
  }
  const isCondition = tensor.type === 'bool';
  const data = tensor.data as Float32Array | Uint8Array;
  const values = new Float32Array(heads * length * total);
  for (let i = 0; i < values.length; i++) {
    const key = i % total;
    const query = Math.floor(i / total) % length;
    const head = Math.floor(i / (total * length));
    const value = data[spread ? head * total + key : i];
    values[i] = isCondition ? (value ? 0 : Number.NEGATIVE_INFINITY) : value;
    if (causal && key > past + query) values[i] = Number.NEGATIVE_INFINITY;
  }
  return { values, heads, queries: length, past };
}

function product(graph: Graph, factors: readonly Factor[], { results }: Near): number {
  return factors.reduce((all, { tensor, divides }) => {
    const weight = graph.weight(tensor);
    const values = weight ? readFloats(weight, graph.file) : results[0].get(tensor)?.data;
    if (values?.length !== 1) throw new Error(`its factor ${tensor} is not one number`);
    const value = Number(values[0]);
    return divides ? all / value : all * value;
  }, 1);
}
