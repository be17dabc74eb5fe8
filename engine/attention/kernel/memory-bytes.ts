import type { PagedAttentionConfig } from '../page-layout.js';
import { type AttentionShape, ELEMENT_BYTES, scaleBytes } from '../paged-attention.js';
import type { ContextCuts } from './context-cuts.js';
import { maxRows } from './query-tiles.js';

/** Bytes of K pages, or of V pages, of one layer, without scales. */
export function pageBytes(shape: AttentionShape, config: PagedAttentionConfig): number {
  const numbers = config.numBlocks * config.blockSize * shape.numKvHeads * shape.headSize;
  return numbers * ELEMENT_BYTES[config.kvDtype];
}

/** Bytes of the scales of those pages. */
export function pageScaleBytes(shape: AttentionShape, config: PagedAttentionConfig): number {
  return config.numBlocks * config.blockSize * shape.numKvHeads * scaleBytes(config.kvDtype);
}

/** Bytes that a slot permanently occupies in its memory. */
export function slotBytes(shape: AttentionShape, config: PagedAttentionConfig): number {
  return 2 * (pageBytes(shape, config) + pageScaleBytes(shape, config)) + 64 * 1024;
}

/**
 * Bytes of the tables that layers permanently occupy in their memory, besides their pages; layers
 * with the same tables share them.
 */
export function tableBytes(shapes: readonly AttentionShape[]): number {
  const tables = new Set(shapes.flatMap(({ rotary }) => (rotary ? [rotary.cos, rotary.sin] : [])));
  return [...tables].reduce((sum, table) => sum + table.byteLength, 0);
}

/** Bytes of the state of one row: assembly/states.ts. */
export function stateBytes(headSize: number): number {
  return (headSize + 4) * 4;
}

/** Bytes of a thread's own memory; assembly/scratch.ts lays it out. */
export function scratchBytes(
  { numHeads, numKvHeads, headSize }: AttentionShape,
  { blockSize, blocksPerTile }: ContextCuts,
): number {
  const rows = maxRows(numHeads / numKvHeads);
  const tokens = blocksPerTile * blockSize;
  const states = 2 * rows * stateBytes(headSize);
  // Space for a block of float32, or a tile of int16.
  const wide = Math.max(blockSize, tokens / 2) * headSize;
  const words = rows * headSize + rows * tokens + 2 * rows + tokens + blocksPerTile + wide;
  return states + words * 4 + 128;
}
