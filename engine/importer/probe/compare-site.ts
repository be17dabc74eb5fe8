import type { Tensor } from 'onnxruntime-node';
import {
  type AttentionBatch,
  type AttentionShape,
  joinTables,
} from '../../attention/paged-attention.js';
import { ReferenceAttention } from '../../attention/reference-attention.js';
import type { HeadLayout, SiteCandidate } from '../site-candidate.js';
import type { ProbeStep } from './probe.js';
import type { Sizes } from './short-run.js';

/** Exporters fold scales in different ways, and float32 sums differ in order. */
const TOLERANCE = 1e-3;

/**
 * Compares the result of the graph's nodes with that of the described attention.
 *
 * @throws Error states how far they differ
 */
export function compareSite(
  site: SiteCandidate,
  shape: AttentionShape,
  { keySize, valueSize }: Sizes,
  { past, length }: ProbeStep,
  given: ReadonlyMap<string, Tensor>,
  result: ReadonlyMap<string, Tensor>,
): void {
  const { numHeads, numKvHeads, headSize } = shape;
  const attention = new ReferenceAttention({
    layers: [shape],
    numBlocks: 1,
    blockSize: past + length,
    kvDtype: 'f32',
    threads: 1,
  });
  const rows = (name: string, layout: HeadLayout, heads: number, size: number): Float32Array => {
    const data = given.get(name)?.data as Float32Array;
    const tokens = layout === 'tokens' ? data : byToken(data, heads, size);
    return widened(tokens, size, headSize);
  };
  const caches = (part: 'key' | 'value', size: number): [Float32Array, Float32Array] => {
    if (!site.reads) {
      const cache = part === 'key' ? site.pastKey : site.pastValue;
      return [
        rows(cache, 'heads', numKvHeads, size),
        rows(site[part], site.keyLayout, numKvHeads, size),
      ];
    }
    const all = rows(site.reads[part], 'heads', numKvHeads, size);
    const border = past * numKvHeads * headSize;
    return [all.subarray(0, border), all.subarray(border)];
  };
  const [pastKey, key] = caches('key', keySize);
  const [pastValue, value] = caches('value', valueSize);
  attention.beginStep(batch(0, past));
  if (past > 0) attention.store(0, pastKey, pastValue);
  attention.beginStep(batch(past, length));
  const expected = new Float32Array(length * numHeads * headSize);
  const query = rows(site.query, site.queryLayout, numHeads, keySize);
  attention.store(0, key, value);
  attention.attend(0, query, expected);
  const raw = result.get(site.output)?.data as Float32Array;
  const tokens = site.outputLayout === 'tokens' ? raw : byToken(raw, numHeads, valueSize);
  const actual = widened(tokens, valueSize, headSize);
  const worst = actual.reduce((max, x, i) => Math.max(max, Math.abs(x - expected[i])), 0);
  if (actual.length === expected.length && worst < TOLERANCE) return;
  throw new Error(
    `run on random numbers it gives something else than the attention that was read out of it (off by ${worst.toPrecision(3)})`,
  );
}

/** Heads of `from` floats, padded with zeros to `to` floats. */
function widened(data: Float32Array, from: number, to: number): Float32Array {
  if (from === to) return data;
  const heads = data.length / from;
  const out = new Float32Array(heads * to);
  for (let head = 0; head < heads; head++) {
    out.set(data.subarray(head * from, (head + 1) * from), head * to);
  }
  return out;
}

function batch(past: number, length: number): AttentionBatch {
  return {
    numSequences: 1,
    queryStarts: Int32Array.of(0, length),
    contextLengths: Int32Array.of(past + length),
    blockTables: [joinTables([[0]])],
  };
}

/** `[heads, tokens, headSize]` as `[tokens, heads, headSize]`. */
function byToken(data: Float32Array, heads: number, headSize: number): Float32Array {
  const tokens = data.length / heads / headSize;
  const out = new Float32Array(data.length);
  for (let head = 0; head < heads; head++) {
    for (let token = 0; token < tokens; token++) {
      const from = (head * tokens + token) * headSize;
      out.set(data.subarray(from, from + headSize), (token * heads + head) * headSize);
    }
  }
  return out;
}
