import type { BlockMap } from '../../kvcache/block-map.js';

/**
 * Blocks that follow each other and were allocated together: first block, count, state, place of
 * the first in its sequence (the next ones have the next places; -1: none has), allocation time,
 * parent of the first (each other's is the block before it).
 */
export type BlockRun = readonly [
  first: number,
  count: number,
  state: number,
  position: number,
  bornAt: number,
  parent: number,
];

/**
 * What has changed since a map that the reader has, in runs.
 *
 * @param known null: the reader has nothing yet
 */
export function changedRuns(map: BlockMap, known: BlockMap | null): BlockRun[] {
  const runs: BlockRun[] = [];
  const { length } = map.states;
  const isKnown = (block: number): boolean => known !== null && isSame(map, known, block);
  for (let block = 0; block < length; ) {
    const first = block++;
    if (isKnown(first)) continue;
    while (block < length && continues(map, block) && !isKnown(block)) block++;
    const { states, positions, bornAt, parents } = map;
    runs.push([
      first,
      block - first,
      states[first],
      positions[first],
      bornAt[first],
      parents[first],
    ]);
  }
  return runs;
}

function isSame(a: BlockMap, b: BlockMap, block: number): boolean {
  return (
    a.states[block] === b.states[block] &&
    a.bornAt[block] === b.bornAt[block] &&
    a.positions[block] === b.positions[block] &&
    a.parents[block] === b.parents[block]
  );
}

/** Whether a block goes on with the run of the one before it. */
function continues(map: BlockMap, block: number): boolean {
  const { states, positions, bornAt, parents } = map;
  const before = block - 1;
  if (states[block] !== states[before] || bornAt[block] !== bornAt[before]) return false;
  if (positions[block] === -1 || positions[before] === -1) {
    return positions[block] === positions[before];
  }
  return positions[block] === positions[before] + 1 && parents[block] === before;
}
