import { elementSize } from './formats';
import {
  LAYER_BLOCK_SIZE, LAYER_FORMAT, LAYER_HEAD_SIZE, LAYER_KEY_PAGES, LAYER_NUM_KV_HEADS, LAYER_VALUE_PAGES, LAYER_VALUE_SCALES,
  STEP_BLOCK_TABLES, STEP_SELECTION, STEP_TABLE_STARTS,
} from './layout';

// Where the pages of a sequence are. A page holds one block of one KV head; its index is the same
// for K, V and their scales.

/** Address of a sequence's block table; tables are stored end to end. */
// @ts-ignore: decorator
@inline
export function tableOf(step: usize, sequence: i32): usize {
  const start = load<u32>(<usize>load<u32>(step, STEP_TABLE_STARTS) + (<usize>sequence << 2));
  return <usize>load<u32>(step, STEP_BLOCK_TABLES) + (<usize>start << 2);
}

/** Where the selection of a sequence's pages begins; 0: all are read. */
// @ts-ignore: decorator
@inline
export function selectionOf(step: usize, sequence: i32): usize {
  const selection = <usize>load<u32>(step, STEP_SELECTION);
  if (selection == 0) return 0;
  return selection + <usize>load<u32>(<usize>load<u32>(step, STEP_TABLE_STARTS) + (<usize>sequence << 2));
}

/**
 * @param own the first block with tokens of this step: from there on, all are read
 * @returns the first of the blocks `begin` to `end - 1` that is read, or that is not; `end` when
 *   there is none
 */
export function findBlock(selection: usize, begin: i32, end: i32, own: i32, isRead: bool): i32 {
  for (let b = begin; b < end; b++) {
    if ((b >= own || load<u8>(selection + <usize>b) != 0) == isRead) return b;
  }
  return end;
}

/** Index of the page of a sequence's block and a KV head. */
// @ts-ignore: decorator
@inline
export function pageOf(layer: usize, table: usize, block: i32, kvHead: i32): usize {
  return <usize>(load<i32>(table + (<usize>block << 2)) * load<i32>(layer, LAYER_NUM_KV_HEADS) + kvHead);
}

/** Number of elements of a page. */
// @ts-ignore: decorator
@inline
export function pageSize(layer: usize): i32 {
  return load<i32>(layer, LAYER_HEAD_SIZE) * load<i32>(layer, LAYER_BLOCK_SIZE);
}

/** Address of a page, in the pages that a word of the layer's header points to. */
// @ts-ignore: decorator
@inline
export function addressOf(layer: usize, pages: usize, page: usize): usize {
  return <usize>load<u32>(layer + pages) + page * <usize>pageSize(layer) * elementSize(load<i32>(layer, LAYER_FORMAT));
}

/** Address of a page's scales: one float32 for each slot. */
// @ts-ignore: decorator
@inline
export function scalesOf(layer: usize, scales: usize, page: usize): usize {
  return <usize>load<u32>(layer + scales) + ((page * <usize>load<i32>(layer, LAYER_BLOCK_SIZE)) << 2);
}

/**
 * Reads a word of every cache line of the tile's pages, so that all of them are loaded
 * concurrently. If pages of 2 or 4 KiB were read one after the other, each would wait for memory:
 * they are too short for the hardware prefetcher, and WebAssembly has no prefetch instruction.
 *
 * @returns a value that depends on all loads, so that the compiler keeps them
 */
export function touch(layer: usize, table: usize, begin: i32, end: i32, kvHead: i32): i32 {
  const pageBytes = addressOf(layer, LAYER_KEY_PAGES, 1) - addressOf(layer, LAYER_KEY_PAGES, 0);
  let all = 0;
  for (let offset: usize = 0; offset < pageBytes; offset += 64) {
    for (let b = begin; b < end; b++) {
      const page = pageOf(layer, table, b, kvHead) * pageBytes + offset;
      all |= load<i32>(<usize>load<u32>(layer, LAYER_KEY_PAGES) + page) | load<i32>(<usize>load<u32>(layer, LAYER_VALUE_PAGES) + page);
    }
  }
  return all;
}

/**
 * Copies the scales of a tile's values. Slots that were never written have weight 0, but their
 * scale may be anything, so it is replaced by 0.
 */
export function loadValueScales(
  layer: usize, table: usize, begin: i32, end: i32, kvHead: i32, written: i32, valueScales: usize,
): void {
  const blockSize = load<i32>(layer, LAYER_BLOCK_SIZE);
  const bytes = <usize>blockSize << 2;
  for (let b = begin; b < end; b++) {
    const source = scalesOf(layer, LAYER_VALUE_SCALES, pageOf(layer, table, b, kvHead));
    for (let i: usize = 0; i < bytes; i += 16) v128.store(valueScales + i, v128.load(source + i));
    valueScales += bytes;
  }
  const slots = (end - begin) * blockSize;
  valueScales -= <usize>(slots - written) << 2;
  for (let i = written; i < slots; i++, valueScales += 4) store<f32>(valueScales, 0);
}
