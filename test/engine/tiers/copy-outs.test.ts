import { expect, it } from 'vitest';
import { type BlockKey, blockKey } from '../../../engine/tiers/block-tier.js';
import type { BlockTransfer } from '../../../engine/tiers/block-transfer.js';
import { CopyOuts } from '../../../engine/tiers/copy-outs.js';
import { MemoryTier } from '../../../engine/tiers/memory-tier.js';
import type { BlockHash, BlockId } from '../../../kvcache/ids.js';
import { historyOf } from '../../support/sequences.js';

const BYTES = 4;
const hash = (n: number): BlockHash => `hash ${n}` as BlockHash;
const keyOf = (n: number): BlockKey => blockKey(0, hash(n));

/** Pages of which block n holds the byte n; `others` have their turn before they are read. */
function create(places: number, others: () => void = () => undefined) {
  const reads: number[][] = [];
  const pages: BlockTransfer = {
    bytesPerBlock: BYTES,
    read: (blocks, into) => {
      reads.push([...blocks]);
      others();
      for (const [i, block] of blocks.entries()) into[i].fill(block);
    },
    write: () => {
      throw new Error('nothing is to be written');
    },
  };
  const memory = new MemoryTier({ capacityBytes: places * BYTES, bytesPerBlock: BYTES });
  const copyOuts = new CopyOuts(
    pages,
    memory,
    historyOf(10, () => 0),
  );
  const done: BlockKey[] = [];
  const note = (n: number): void =>
    copyOuts.note(n as BlockId, hash(n), (key) => void done.push(key));
  const contents = () => [1, 2, 3, 4].map((n) => memory.peek(keyOf(n))?.[0] ?? null);
  return { copyOuts, memory, reads, done, note, contents };
}

it('reads all that is noted in one call, each content once, and none without a place', async () => {
  const { copyOuts, memory, reads, done, note, contents } = create(2);
  for (const n of [1, 2, 2, 3]) note(n);
  expect([1, 2, 3].map((n) => memory.holds(keyOf(n)))).toEqual([false, true, true]);
  await copyOuts.flush();
  expect(reads).toEqual([[2, 3]]);
  expect(contents()).toEqual([null, 2, 3, null]);
  expect(done).toEqual([1, 2, 2, 3].map(keyOf));
  await copyOuts.flush();
  expect(reads).toHaveLength(1);
});

it('keeps the places that it writes from what arrives meanwhile', async () => {
  const arriving: (Uint8Array | null)[] = [];
  const { copyOuts, memory, note, contents } = create(2, () => {
    arriving.push(memory.expect(keyOf(3)));
  });
  for (const n of [1, 2]) note(n);
  await copyOuts.flush();
  expect(arriving).toEqual([null]);
  expect(contents()).toEqual([1, 2, null, null]);
  expect(memory.numPinned).toBe(0);
});

it('lets nothing be done with what could not be read', async () => {
  const { copyOuts, done, note } = create(2, () => {
    throw new Error('the device is lost');
  });
  note(1);
  await expect(copyOuts.flush()).rejects.toThrow('the device is lost');
  expect(done).toEqual([]);
});
