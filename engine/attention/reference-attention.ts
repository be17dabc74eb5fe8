import { PartedBlockStore } from './block-store.js';
import { roundKey, roundValue } from './kv-rounding.js';
import { partWidths, splitRows } from './packed-rows.js';
import type { PagedAttentionConfig } from './page-layout.js';
import { fullLayout, type PageLayout } from './page-layout.js';
import {
  type AttentionBatch,
  type BlockTables,
  type PagedAttention,
  selectPages,
} from './paged-attention.js';
import { rotateHead } from './rotary.js';

/** Pages of one slot, each `[numBlocks, numKvHeads, blockSize, headSize]`. */
interface SlotPages {
  readonly key: Float32Array;
  readonly value: Float32Array;
}

/** Pages as plain arrays; tests poison them. */
export class ReferencePages extends PartedBlockStore {
  readonly bytesPerBlock: number;
  readonly slots: readonly SlotPages[];
  readonly #numBlocks: number;

  constructor(config: PagedAttentionConfig, layout: PageLayout) {
    super();
    this.#numBlocks = config.numBlocks;
    this.slots = Array.from({ length: layout.numSlots }, (_, slot) => {
      const layer = layout.layers.findIndex((pages) => pages.slot === slot);
      const { numKvHeads, headSize } = config.layers[layer];
      const length = config.numBlocks * config.blockSize * numKvHeads * headSize;
      return { key: new Float32Array(length), value: new Float32Array(length) };
    });
    this.bytesPerBlock = this.parts(0).reduce((sum, { byteLength }) => sum + byteLength, 0);
  }

  protected parts(block: number): Uint8Array[] {
    return this.slots.flatMap(({ key, value }) =>
      [key, value].map((array) => {
        const bytes = array.byteLength / this.#numBlocks;
        return new Uint8Array(array.buffer, array.byteOffset + block * bytes, bytes);
      }),
    );
  }
}

/**
 * Paged attention in plain loops: the definition that faster implementations are tested against. It
 * stores float32, rounded as the format rounds, and sums in float64.
 */
export class ReferenceAttention implements PagedAttention {
  readonly pages: ReferencePages;
  readonly #config: PagedAttentionConfig;
  readonly #layout: PageLayout;
  #batch: AttentionBatch | null = null;

  constructor(config: PagedAttentionConfig) {
    this.#config = config;
    this.#layout = config.layout ?? fullLayout(config.layers);
    this.pages = new ReferencePages(config, this.#layout);
  }

  beginStep(batch: AttentionBatch): void {
    this.#batch = batch;
  }

  store(layer: number, key: Float32Array, value: Float32Array): void {
    const batch = this.#begun();
    const { numKvHeads, headSize, rotary } = this.#config.layers[layer];
    const pages = this.pages.slots[this.#layout.layers[layer].slot];
    for (let s = 0; s < batch.numSequences; s++) {
      for (const { row, position } of queries(batch, s)) {
        for (let head = 0; head < numKvHeads; head++) {
          const start = (row * numKvHeads + head) * headSize;
          const slot = this.#slot(layer, batch, s, head, position);
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
  }

  attend(layer: number, query: Float32Array, output: Float32Array): void {
    const batch = this.#begun();
    const shape = this.#config.layers[layer];
    const tables = batch.blockTables[this.#layout.layers[layer].group];
    const selection = selectPages(this.#config.selector, { layer, batch, tables, query });
    for (let s = 0; s < batch.numSequences; s++) {
      const sees = (position: number): boolean =>
        selection === null || this.#isSelected(selection, tables, batch, s, position);
      for (const { row, position } of queries(batch, s)) {
        for (let head = 0; head < shape.numHeads; head++) {
          const start = (row * shape.numHeads + head) * shape.headSize;
          const q = query.slice(start, start + shape.headSize);
          if (shape.rotary) rotateHead(q, shape.rotary, position);
          const out = output.subarray(start, start + shape.headSize);
          const last = batch.lastSeen?.[row] ?? position;
          this.#attendRow(layer, batch, s, head, { position, last }, sees, q, out);
        }
      }
    }
  }

  attendPacked(layer: number, packed: Float32Array, output: Float32Array): void {
    const [query, key, value] = splitRows(packed, partWidths(this.#config.layers[layer]));
    this.store(layer, key, value);
    this.attend(layer, query, output);
  }

  dispose(): Promise<void> {
    return Promise.resolve();
  }

  #begun(): AttentionBatch {
    if (!this.#batch) throw new Error('a step is written or attended before it has begun');
    return this.#batch;
  }

  #attendRow(
    layer: number,
    batch: AttentionBatch,
    s: number,
    head: number,
    { position, last }: { readonly position: number; readonly last: number },
    sees: (position: number) => boolean,
    query: Float32Array,
    output: Float32Array,
  ): void {
    const shape = this.#config.layers[layer];
    const { headSize, scale, softcap, slidingWindow, alibiSlopes, sinks } = shape;
    const pages = this.pages.slots[this.#layout.layers[layer].slot];
    const kvHead = Math.floor(head / (shape.numHeads / shape.numKvHeads));
    const first = slidingWindow > 0 ? Math.max(0, position - slidingWindow + 1) : 0;
    const scores = new Float64Array(last - first + 1);
    let max = sinks ? sinks[head] : Number.NEGATIVE_INFINITY;
    for (let p = first; p <= last; p++) {
      if (!sees(p)) continue;
      const slot = this.#slot(layer, batch, s, kvHead, p);
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
    for (let p = first; p <= last; p++) {
      if (!sees(p)) continue;
      const weight = Math.exp(scores[p - first] - max);
      sum += weight;
      const slot = this.#slot(layer, batch, s, kvHead, p);
      for (let d = 0; d < headSize; d++) result[d] += weight * pages.value[slot + d];
    }
    for (let d = 0; d < headSize; d++) output[d] = result[d] / sum;
  }

  /**
   * Whether the page of a position is read: because it was chosen, or because it holds tokens of
   * the step.
   */
  #isSelected(
    selection: Uint8Array,
    { starts }: BlockTables,
    { queryStarts, contextLengths }: AttentionBatch,
    s: number,
    position: number,
  ): boolean {
    const { blockSize } = this.#config;
    const past = contextLengths[s] - (queryStarts[s + 1] - queryStarts[s]);
    const place = Math.floor(position / blockSize);
    return place >= Math.floor(past / blockSize) || selection[starts[s] + place] !== 0;
  }

  /** Index of a position's row in a layer's pages. */
  #slot(layer: number, batch: AttentionBatch, s: number, kvHead: number, position: number): number {
    const { blockSize, layers } = this.#config;
    const { numKvHeads, headSize } = layers[layer];
    const { starts, blocks } = batch.blockTables[this.#layout.layers[layer].group];
    const block = blocks[starts[s] + Math.floor(position / blockSize)];
    const row = (block * numKvHeads + kvHead) * blockSize + (position % blockSize);
    return row * headSize;
  }
}

/** The rows of sequence `s` in this step, and their positions. */
function* queries(batch: AttentionBatch, s: number): Generator<{ row: number; position: number }> {
  const start = batch.queryStarts[s];
  const end = batch.queryStarts[s + 1];
  const firstPosition = batch.contextLengths[s] - (end - start);
  for (let row = start; row < end; row++) yield { row, position: firstPosition + row - start };
}
