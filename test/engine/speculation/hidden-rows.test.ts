import { expect, it } from 'vitest';
import { HiddenRows } from '../../../engine/speculation/draft-layers/hidden-rows.js';
import { MissingPages } from '../../../engine/speculation/draft-layers/missing-pages.js';
import type { BlockId } from '../../../kvcache/ids.js';

const [WIDTH, BLOCK] = [2, 4];
const ids = (...numbers: number[]): BlockId[] => numbers as BlockId[];
const TABLE = ids(7, 3, 5, 9);

/** Rows of tokens `start` to `end - 1`, each with its token's number. */
const rowsOf = (start: number, end: number): Float32Array =>
  Float32Array.from({ length: (end - start) * WIDTH }, (_, i) => start + Math.floor(i / WIDTH));

/** Which of the first tokens have a row. */
function kept(rows: HiddenRows, table: readonly BlockId[], length: number): number[] {
  const tokens = Array.from({ length }, (_, token) => token);
  return tokens.filter((token) => {
    const row = rows.get(table, token);
    if (row) expect([...row]).toEqual([token, token]);
    return row !== undefined;
  });
}

it('keeps the last rows of each block, and those that a step may go back to', () => {
  const rows = new HiddenRows(WIDTH, BLOCK);
  rows.put(TABLE, 0, rowsOf(0, 9), 0);
  expect(kept(rows, TABLE, 16)).toEqual([2, 3, 6, 7, 8]);
  // One token and four proposed ones, in two blocks.
  rows.put(TABLE, 9, rowsOf(9, 14), 4);
  expect(kept(rows, TABLE, 16)).toEqual([2, 3, 6, 7, 8, 9, 10, 11, 12, 13]);
  // Two of them were right: the others are computed again.
  rows.put(TABLE, 12, rowsOf(12, 13), 0);
  expect(kept(rows, TABLE, 16)).toEqual([2, 3, 6, 7, 10, 11, 12]);
  expect(rows.size).toBe(7);
});

it('keeps the row before a token that is computed again', () => {
  const rows = new HiddenRows(WIDTH, BLOCK);
  rows.put(TABLE, 0, rowsOf(0, 5), 0);
  for (let time = 0; time < 3; time++) {
    rows.put(TABLE, 5, rowsOf(5, 6), 0);
    expect(kept(rows, TABLE, 8)).toEqual([2, 3, 4, 5]);
  }
});

it('goes with copies of blocks, and is gone with them', () => {
  const rows = new HiddenRows(WIDTH, BLOCK);
  rows.put(TABLE, 0, rowsOf(0, 6), 0);
  rows.copy(ids(3)[0], ids(8)[0]);
  const fork = ids(7, 8);
  rows.put(fork, 6, rowsOf(6, 7), 0);
  expect(kept(rows, fork, 8)).toEqual([2, 3, 4, 5, 6]);
  expect(kept(rows, TABLE, 8)).toEqual([2, 3, 4, 5]);
  rows.copy(ids(6)[0], ids(8)[0]);
  expect(kept(rows, fork, 8)).toEqual([2, 3]);
  rows.forget(ids(7)[0]);
  expect(kept(rows, TABLE, 8)).toEqual([4, 5]);
  rows.clear();
  expect(rows.size).toBe(0);
});

it('leaves out pages that were not computed', () => {
  const pages = new MissingPages();
  const select = (...blocks: number[]) =>
    pages.select({
      layer: 0,
      batch: {
        numSequences: 1,
        queryStarts: Int32Array.of(0, 1),
        contextLengths: Int32Array.of(blocks.length * BLOCK),
        blockTables: [],
      },
      tables: { starts: Int32Array.of(0, blocks.length), blocks: Int32Array.from(blocks) },
      query: new Float32Array(),
    });
  expect(select(1, 2, 3)).toBeNull();
  pages.add(ids(2)[0]);
  expect(select(1, 2, 3)).toEqual(Uint8Array.of(1, 0, 1));
  pages.copy(ids(2)[0], ids(3)[0]);
  pages.copy(ids(1)[0], ids(2)[0]);
  expect(select(1, 2, 3)).toEqual(Uint8Array.of(1, 1, 0));
  pages.delete(ids(3)[0]);
  expect(select(1, 2, 3)).toBeNull();
  // A window has moved on.
  expect(select(-1, 2, 3)).toEqual(Uint8Array.of(0, 1, 1));
});
