import { describe, expect, it } from 'vitest';
import { sharedRuns } from '../../../engine/attention/kernel/shared-runs.js';

// Tiles of 2 blocks, spans of 8.
const CUTS = { blockSize: 64, blocksPerTile: 2, blocksPerSpan: 8 };

/** Numbers from `first` on. */
const blocks = (first: number, count: number): number[] =>
  Array.from({ length: count }, (_, i) => first + i);

/** Which sequences share which blocks: `begin-end: sequences`. All of a table is past. */
function runsOf(...tables: number[][]): string[] {
  let start = 0;
  const sharers = tables.map((table, tile) => {
    const sharer = { tile, table: start, tiles: Math.floor(table.length / 2) };
    start += table.length;
    return sharer;
  });
  return sharedRuns(sharers, Int32Array.from(tables.flat()), CUTS)
    .map((run) => `${2 * run.begin}-${2 * run.end}: ${run.sharers.map(({ tile }) => tile).join()}`)
    .sort();
}

describe('shared runs', () => {
  it('end with the last whole tile that all have, span by span', () => {
    const common = blocks(0, 21);
    expect(runsOf([...common, 100, 101], [...common, 200, 201], [...common, 300])).toEqual([
      '0-8: 0,1,2',
      '16-20: 0,1,2',
      '8-16: 0,1,2',
    ]);
    expect(runsOf(blocks(0, 9), blocks(0, 9))).toEqual(['0-8: 0,1']);
  });

  it('go on for those that agree for longer', () => {
    const [common, other] = [blocks(0, 8), blocks(50, 8)];
    expect(
      runsOf([...common, ...other], [...common, ...blocks(80, 8)], [...common, ...other]),
    ).toEqual(['0-8: 0,1,2', '8-16: 0,2']);
    expect(runsOf(common, [...common, ...other], blocks(0, 4), [...common, ...other])).toEqual([
      '0-8: 0,1,3',
      '8-16: 1,3',
    ]);
  });

  it('belong to all or to those that agree for longer, whichever reads fewer pages', () => {
    const family = (first: number): number[] => [...blocks(0, 4), ...blocks(first, 4)];
    // 3 times 2 tiles, or 2 times 4.
    expect(runsOf(family(10), family(20), family(10), family(20))).toEqual([
      '0-8: 0,2',
      '0-8: 1,3',
    ]);
    // 3 times 3 tiles, or 4 tiles once.
    const near = (last: number): number[] => [...blocks(0, 6), last, last + 1];
    expect(runsOf(near(10), near(20), near(10), near(30))).toEqual(['0-6: 0,1,2,3']);
  });

  it('have the same blocks from the first to the last', () => {
    // The last block of each tile is the same; what is before it is not.
    expect(runsOf(blocks(0, 8), [0, 1, 2, 3, 99, 5, 6, 7])).toEqual(['0-4: 0,1']);
    expect(runsOf(blocks(0, 8), [98, 1, 2, 3, 4, 5, 6, 7])).toEqual([]);
  });

  it('save two tiles at least', () => {
    expect(runsOf(blocks(0, 2), blocks(0, 2))).toEqual([]);
    expect(runsOf(blocks(0, 2), blocks(0, 2), blocks(0, 2))).toEqual(['0-2: 0,1,2']);
    expect(runsOf(blocks(0, 4), blocks(0, 4))).toEqual(['0-4: 0,1']);
    expect(runsOf(blocks(0, 8))).toEqual([]);
    expect(runsOf()).toEqual([]);
  });
});
