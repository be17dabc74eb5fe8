import { afterAll, describe, expect, it } from 'vitest';
import { KernelAttention } from '../../../engine/attention/kernel-attention.js';
import type { PagedAttentionConfig } from '../../../engine/attention/page-layout.js';
import { bytesPerBlock, fullLayout, planPages } from '../../../engine/attention/page-layout.js';
import {
  joinTables,
  KV_DTYPES,
  type KvDtype,
  type PagedAttention,
} from '../../../engine/attention/paged-attention.js';
import { ReferenceAttention } from '../../../engine/attention/reference-attention.js';
import { describeBlockStore, STORE_BLOCKS } from '../../conformance/block-store.js';
import { numbers, plainLayer } from '../../support/attention-cases.js';

// Stores of pages, and attention over pages that were copied, or that layers share.

const SHAPE = plainLayer(16, { numHeads: 4, numKvHeads: 2, scale: 0.25 });
const BLOCK = 4;

const implementations: readonly [string, (config: PagedAttentionConfig) => PagedAttention][] = [
  ['reference', (config) => new ReferenceAttention(config)],
  ['kernel', (config) => new KernelAttention(config)],
  [
    'kernel, a memory for each layer',
    (config) => new KernelAttention(config, { maxMemoryBytes: 90_000 }),
  ],
];
const made: PagedAttention[] = [];
afterAll(async () => {
  for (const attention of made) await attention.dispose();
});

/**
 * Output of one token of `layer` that sees `context` tokens through `table`; K and V of the token
 * are written first.
 */
function decode(
  attention: PagedAttention,
  layer: number,
  tables: readonly (readonly number[])[],
  context: number,
  seed: number,
  length = 1,
): Float32Array {
  attention.beginStep({
    numSequences: 1,
    queryStarts: Int32Array.of(0, length),
    contextLengths: Int32Array.of(context),
    blockTables: tables.map((table) => joinTables([table])),
  });
  const output = new Float32Array(length * 64);
  attention.store(layer, numbers(length * 32, seed), numbers(length * 32, seed + 1));
  attention.attend(layer, numbers(length * 64, seed + 2), output);
  return output;
}

for (const [name, create] of implementations) {
  describe.each(KV_DTYPES)('%s pages', (kvDtype) => {
    describeBlockStore(name, () => {
      const sizes = { numBlocks: STORE_BLOCKS, blockSize: BLOCK, kvDtype, threads: 1 };
      const attention = create({ layers: [SHAPE, SHAPE, SHAPE], ...sizes });
      made.push(attention);
      return attention.pages;
    });
  });
}

describe.each(implementations)('%s', (_name, create) => {
  const start = (config: Partial<PagedAttentionConfig>, kvDtype: KvDtype): PagedAttention => {
    const layers = [SHAPE, SHAPE, SHAPE];
    const attention = create({
      layers,
      numBlocks: 12,
      blockSize: BLOCK,
      kvDtype,
      threads: 1,
      ...config,
    });
    made.push(attention);
    return attention;
  };

  it.each(KV_DTYPES)('copies, reads and writes whole blocks: %s', (kvDtype) => {
    const attention = start({}, kvDtype);
    const { pages } = attention;
    if (attention instanceof KernelAttention) {
      const planned = bytesPerBlock(
        [SHAPE, SHAPE, SHAPE],
        fullLayout([SHAPE, SHAPE, SHAPE]),
        BLOCK,
        kvDtype,
      );
      expect(pages.bytesPerBlock).toBe(planned);
    }
    const last = (first: number): Float32Array[] =>
      [0, 1, 2].map((layer) => decode(attention, layer, [[first, 5]], 5, 70 + layer));
    for (const layer of [0, 1, 2]) decode(attention, layer, [[0]], 4, 10 * layer, 4);
    const expected = last(0);

    pages.copy(0, 3);
    expect(last(3)).toEqual(expected);

    const bytes = new Uint8Array(pages.bytesPerBlock);
    pages.read(3, bytes);
    pages.write(7, bytes);
    expect(last(7)).toEqual(expected);
    // The neighbors are as they were.
    const before = new Uint8Array(pages.bytesPerBlock);
    pages.read(6, before);
    expect(before.every((byte) => byte === 0)).toBe(true);
  });

  it('attends over pages that layers share, each by the tables of its group', () => {
    const layers = [{ ...SHAPE, slidingWindow: 6 }, SHAPE, { ...SHAPE, slidingWindow: 6 }, SHAPE];
    const layout = planPages(layers, 1000, 4);
    expect([layout.groups.length, layout.numSlots]).toEqual([2, 2]);
    const shared = start({ layers, layout }, 'f32');
    const apart = new ReferenceAttention({
      layers,
      numBlocks: 12,
      blockSize: BLOCK,
      kvDtype: 'f32',
      threads: 1,
    });
    // The window's table has lost the blocks that no query sees: 18 tokens, the last one sees 12
    // to 17.
    const full = [2, 9, 4, 7, 0];
    const window = [3, 5, 8, 1, 10];
    for (let position = 0; position < 18; position++) {
      const expired = Math.floor(Math.max(0, position - 5) / BLOCK);
      const left = window.map((block, i) => (i < expired ? -1 : block));
      for (let layer = 0; layer < 4; layer++) {
        const seed = 100 * position + 7 * layer;
        const actual = decode(shared, layer, [full, left], position + 1, seed);
        const expected = decode(apart, layer, [full], position + 1, seed);
        for (const [i, x] of actual.entries()) expect(x).toBeCloseTo(expected[i], 4);
      }
    }
  });
});
