import { Tensor } from 'onnxruntime-node';
import type { SiteCandidate } from '../site-candidate.js';
import { classifyMask, type MaskRows, type ObservedMask } from './classify-mask.js';
import { filled, type Probe, type ProbeStep } from './probe.js';
import type { ShortRun, Sizes } from './short-run.js';

/** Covers the windows of known models, 32768 at most, and still takes no time. */
const FARTHEST = 32_768 + 64;

/**
 * Probes a mask alone, without the matmuls around it, at long lengths.
 *
 * @returns a description of the mask when no attention shape can express it
 */
export async function observeMask(
  probe: Probe,
  site: SiteCandidate,
  sizes: Sizes,
  shortRun: ShortRun,
  maxLength: number,
): Promise<ObservedMask | string> {
  const { mask, guards } = site;
  const conditions = guards.map(({ condition }) => condition);
  if (!mask && conditions.length > 0) return 'it zeroes rows of its output, but masks nothing';
  if (!mask) return { slidingWindow: 0, alibiSlopes: null };
  // At three lengths: a chunked mask would look like a window at one of them.
  const [{ past: short, length }] = shortRun.steps;
  const farthest = Math.min(maxLength, FARTHEST);
  const places = [short, Math.floor(farthest * 0.6), farthest - length];
  const steps = places.map((past) => ({ past: Math.max(short, past), length }));
  const scoreDims = mask.scores ? (shortRun.results[0].get(mask.scores)?.dims ?? []) : [];
  const feeds = (step: ProbeStep): Map<string, Tensor> => {
    const given = new Map(shortRun.shapes.map((name) => [name, extrapolate(shortRun, name, step)]));
    if (mask.scores) {
      const dims = [...scoreDims.slice(0, -1), step.past + step.length];
      given.set(
        mask.scores,
        filled(1, dims, () => 0),
      );
    }
    return given;
  };
  const results = await probe.run([mask.tensor, ...conditions], steps, feeds);
  for (const name of conditions) {
    const seen = [...shortRun.results, ...results].map((result) => result.get(name)?.data);
    if (!seen.every((flags) => flags instanceof Uint8Array && !flags.includes(1)))
      return `it zeroes rows that see keys, where ${name} says so`;
  }
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

/** Extrapolates a shape to a longer past: each size grows linearly with the past, or not at all. */
function extrapolate(
  { steps: [short, longer], results }: ShortRun,
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

/** The mask as `[heads, queries, past + queries]` numbers; booleans are converted. */
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
