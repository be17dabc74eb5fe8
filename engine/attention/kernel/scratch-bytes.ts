import type { AttentionShape } from '../paged-attention.js';
import type { ContextCuts } from './context-cuts.js';
import { maxRows } from './query-tiles.js';

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
