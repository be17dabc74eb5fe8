import type { BlockStore } from '../attention/block-store.js';
import type { Soon } from './block-tier.js';

/**
 * Copies whole blocks between the pages of the KV cache and the host's memory. Pages that lie there
 * answer at once, those of a device later. One call at a time, while no step runs; a rejection is
 * final: what was to be written is then undefined.
 *
 * Implementations: `transferOf` a store of blocks, and the cache on a device
 * (engine/device/device-cache.ts); `test/conformance/block-transfer.ts` holds them to this.
 */
export interface BlockTransfer {
  /** Bytes of one block over all layers. */
  readonly bytesPerBlock: number;
  /** @param into `[bytesPerBlock]` for each block; written until the answer is there */
  read(blocks: readonly number[], into: readonly Uint8Array[]): Soon<void>;
  /**
   * @param blocks each at most once
   * @param from `[bytesPerBlock]` for each block, as `read` returns it for the same layout
   */
  write(blocks: readonly number[], from: readonly Uint8Array[]): Soon<void>;
}

/** Of pages in the host's memory. */
export function transferOf(store: BlockStore): BlockTransfer {
  return {
    bytesPerBlock: store.bytesPerBlock,
    read: (blocks, into) => {
      for (const [i, block] of blocks.entries()) store.read(block, into[i]);
    },
    write: (blocks, from) => {
      for (const [i, block] of blocks.entries()) store.write(block, from[i]);
    },
  };
}
