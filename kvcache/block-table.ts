import type { BlockHash, BlockId } from './ids.js';

/**
 * One sequence's blocks: entry `i` holds K and V of its tokens `i * blockSize` to `(i + 1) * blockSize - 1`.
 * Owned by the request; only the `KvCacheManager` changes it.
 *
 *     tokens   |<-- full, hashed -->|<-- full, hashed -->|<- partial ->|
 *     blocks        blocks[0]             blocks[1]         blocks[2]
 *     hashes        hashes[0]             hashes[1]
 */
export class BlockTable {
  readonly blocks: BlockId[] = [];
  /** Chain hashes of the leading full blocks, computed so far. They outlive the blocks: tokens do not change. */
  readonly hashes: BlockHash[] = [];
  /** Leading blocks that were offered to the cache already. */
  numOffered = 0;
  readonly root: BlockHash;

  constructor(root: BlockHash) {
    this.root = root;
  }
}
