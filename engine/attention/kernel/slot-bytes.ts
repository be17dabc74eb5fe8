import type { PagedAttentionConfig } from '../page-layout.js';
import { type AttentionShape, ELEMENT_BYTES, scaleBytes } from '../paged-attention.js';

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
