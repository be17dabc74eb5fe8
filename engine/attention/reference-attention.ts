import { roundKey, roundValue } from './kv-rounding.js';
import type {
  AttentionBatch,
  AttentionShape,
  PagedAttention,
  PagedAttentionConfig,
} from './paged-attention.js';
import { rotateHead } from './rotary.js';

/** Pages of one layer, each `[numBlocks, numKvHeads, blockSize, headSize]`. */
export interface ReferencePages {
  readonly key: Float32Array;
  readonly value: Float32Array;
}

/**
 * Paged attention written to be read: the definition that faster implementations are tested against. It stores float32 whatever
 * the format, rounded as the format rounds, and sums in float64.
 */
export class ReferenceAttention implements PagedAttention {
  /** One entry per layer; layers over the same pages have the same. Tests poison them. */
  readonly pages: readonly ReferencePages[];
  readonly #config: PagedAttentionConfig;
  #batch: AttentionBatch | null = null;

  constructor(config: PagedAttentionConfig) {
    this.#config = config;
    const slots = config.numBlocks * config.blockSize;
    const pages: ReferencePages[] = [];
    for (const { numKvHeads, headSize, pagesOf } of config.layers) {
      const size = slots * numKvHeads * headSize;
      const own = (): ReferencePages => ({
        key: new Float32Array(size),
        value: new Float32Array(size),
      });
      pages.push(pagesOf === undefined ? own() : pages[pagesOf]);
    }
    this.pages = pages;
  }

  beginStep(batch: AttentionBatch): void {
    this.#batch = batch;
  }

  forward(
    layer: number,
    query: Float32Array,
    key: Float32Array | null,
    value: Float32Array | null,
    output: Float32Array,
  ): void {
    const batch = this.#batch;
    if (!batch) throw new Error('forward() before beginStep()');
    const shape = this.#config.layers[layer];
    // All of the step's K and V first: a sequence may read blocks that another one fills in the same step.
    if (key && value) {
      for (let s = 0; s < batch.numSequences; s++) this.#store(layer, shape, batch, s, key, value);
    }
    for (let s = 0; s < batch.numSequences; s++) {
      for (const { row, position } of queries(batch, s)) {
        for (let head = 0; head < shape.numHeads; head++) {
          const start = (row * shape.numHeads + head) * shape.headSize;
          const q = query.slice(start, start + shape.headSize);
          if (shape.rotary) rotateHead(q, shape.rotary, position);
          const out = output.subarray(start, start + shape.headSize);
          this.#attend(layer, shape, batch, s, head, position, q, out);
        }
      }
    }
  }

  copyBlock(from: number, to: number): void {
    for (const [layer, { key, value }] of this.pages.entries()) {
      const { numKvHeads, headSize, pagesOf } = this.#config.layers[layer];
      if (pagesOf !== undefined) continue;
      const size = numKvHeads * this.#config.blockSize * headSize;
      key.copyWithin(to * size, from * size, (from + 1) * size);
      value.copyWithin(to * size, from * size, (from + 1) * size);
    }
  }

  dispose(): Promise<void> {
    return Promise.resolve();
  }

  #store(
    layer: number,
    shape: AttentionShape,
    batch: AttentionBatch,
    s: number,
    key: Float32Array,
    value: Float32Array,
  ): void {
    const { numKvHeads, headSize, rotary } = shape;
    const pages = this.pages[layer];
    for (const { row, position } of queries(batch, s)) {
      for (let head = 0; head < numKvHeads; head++) {
        const start = (row * numKvHeads + head) * headSize;
        const slot = this.#slot(shape, batch, s, head, position);
        const k = key.slice(start, start + headSize);
        if (rotary) rotateHead(k, rotary, position);
        const v = value.slice(start, start + headSize);
        roundKey(k, this.#config.kvDtype);
        roundValue(v, this.#config.kvDtype);
        pages.key.set(k, slot);
        pages.value.set(v, slot);
      }
    }
  }

  #attend(
    layer: number,
    shape: AttentionShape,
    batch: AttentionBatch,
    s: number,
    head: number,
    position: number,
    query: Float32Array,
    output: Float32Array,
  ): void {
    const { headSize, scale, softcap, slidingWindow, alibiSlopes, sinks } = shape;
    const pages = this.pages[layer];
    const kvHead = Math.floor(head / (shape.numHeads / shape.numKvHeads));
    const first = slidingWindow > 0 ? Math.max(0, position - slidingWindow + 1) : 0;
    const scores = new Float64Array(position - first + 1);
    let max = sinks ? sinks[head] : Number.NEGATIVE_INFINITY;
    for (let p = first; p <= position; p++) {
      const slot = this.#slot(shape, batch, s, kvHead, p);
      let score = 0;
      for (let d = 0; d < headSize; d++) score += query[d] * pages.key[slot + d];
      score *= scale;
      if (softcap > 0) score = softcap * Math.tanh(score / softcap);
      if (alibiSlopes) score += alibiSlopes[head] * (p - position);
      scores[p - first] = score;
      if (!(score <= max)) max = score;
    }
    let sum = sinks ? Math.exp(sinks[head] - max) : 0;
    const result = new Float64Array(headSize);
    for (let p = first; p <= position; p++) {
      const weight = Math.exp(scores[p - first] - max);
      sum += weight;
      const slot = this.#slot(shape, batch, s, kvHead, p);
      for (let d = 0; d < headSize; d++) result[d] += weight * pages.value[slot + d];
    }
    for (let d = 0; d < headSize; d++) output[d] = result[d] / sum;
  }

  /** Where the row of a position begins in a layer's pages. */
  #slot(
    shape: AttentionShape,
    batch: AttentionBatch,
    s: number,
    kvHead: number,
    position: number,
  ): number {
    const { blockSize } = this.#config;
    const entry = s * batch.blockTableStride + Math.floor(position / blockSize);
    const block = batch.blockTables[entry];
    const row = (block * shape.numKvHeads + kvHead) * blockSize + (position % blockSize);
    return row * shape.headSize;
  }
}

/** The rows of sequence `s` in this step, and their positions. */
function* queries(batch: AttentionBatch, s: number): Generator<{ row: number; position: number }> {
  const start = batch.queryStarts[s];
  const end = batch.queryStarts[s + 1];
  const firstPosition = batch.contextLengths[s] - (end - start);
  for (let row = start; row < end; row++) yield { row, position: firstPosition + row - start };
}
