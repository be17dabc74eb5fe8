import { blockHash } from './block-hash.js';
import { type CacheGroup, numExpiredBlocks } from './cache-group.js';
import { type BlockHash, type BlockId, NO_BLOCK } from './ids.js';
import type { SequenceBlocks } from './sequence-blocks.js';

/** The longest beginning of a sequence that every group has cached: K and V, or its state. */
export interface CachedPrefix {
  /** A multiple of the block size. */
  readonly numTokens: number;
  /** `[group]`: the table's first entries; `TO_LOAD` for blocks that only a tier has. */
  readonly tables: readonly (readonly BlockId[])[];
}

/** Whether a tier behind the pool has a content, so that it can be loaded. */
export type HasContent = (group: number, hash: BlockHash) => boolean;

/** Chain hash of the full block `index`; stored in the sequence. */
export function hashAt(
  sequence: SequenceBlocks,
  tokens: readonly number[],
  index: number,
  blockSize: number,
): BlockHash {
  const { hashes, contents } = sequence;
  while (hashes.length <= index) {
    const start = hashes.length * blockSize;
    const parent = hashes.at(-1) ?? sequence.root;
    hashes.push(blockHash(parent, tokens, start, start + blockSize, contents));
  }
  return hashes[index];
}

/**
 * A group with full attention needs all blocks of a prefix. A sliding window needs only those that
 * the first token behind the prefix still sees, a recurrent layer only the state at its end:
 *
 *     full        [x][x][x][x][x][x]
 *     window      [ ][ ][ ][ ][x][x]   a prefix of 6 blocks, though 4 are not cached in this group
 *     recurrent   [ ][ ][x][ ][ ][x]   without the last one, the prefix would have 3 blocks
 *
 * @param mostBlocks maximum number of blocks of the prefix
 * @param at the block with that content, `TO_LOAD` when a tier has it; undefined when it is lost
 */
export function findCachedPrefix(
  groups: readonly CacheGroup[],
  blockSize: number,
  mostBlocks: number,
  at: (group: number, index: number) => BlockId | undefined,
): CachedPrefix {
  let length = mostBlocks;
  for (const [g, { kind }] of groups.entries()) {
    if (kind !== 'full') continue;
    let hits = 0;
    while (hits < length && at(g, hits) !== undefined) hits += 1;
    length = hits;
  }
  const others = groups.flatMap((group, g) =>
    group.kind === 'full' ? [] : [{ group, run: runsOf(length, (index) => at(g, index)) }],
  );
  const isServed = (blocks: number): boolean =>
    others.every(
      ({ group, run }) =>
        run[blocks] >= blocks - numExpiredBlocks(group, blocks * blockSize, blockSize),
    );
  while (length > 0 && !isServed(length)) length -= 1;
  const numTokens = length * blockSize;
  const tables = groups.map((group, g) => {
    const expired = numExpiredBlocks(group, numTokens, blockSize);
    return Array.from({ length }, (_, i) => (i < expired ? NO_BLOCK : (at(g, i) as BlockId)));
  });
  return { numTokens, tables };
}

/** Entry `n`: number of consecutive cached blocks that end with block `n - 1`. */
function runsOf(length: number, at: (index: number) => BlockId | undefined): Int32Array {
  const runs = new Int32Array(length + 1);
  for (let i = 0; i < length; i++) runs[i + 1] = at(i) === undefined ? 0 : runs[i] + 1;
  return runs;
}
