import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { BlockTransfer } from '../../engine/tiers/block-transfer.js';
import type { BlockId } from '../../kvcache/ids.js';
import type { BlockCopy } from '../../kvcache/kv-cache-config.js';
import { DEVICE_TIMEOUT_MS } from '../support/webgpu.js';

/** A cache with at least as many blocks. */
export const TRANSFER_BLOCKS = 6;

export interface TransferFixture {
  readonly transfer: BlockTransfer;
  /** Copies blocks inside of the cache, in the order that is given, as steps do. */
  copy(copies: readonly BlockCopy[]): void | Promise<void>;
  dispose(): void | Promise<void>;
}

const block = fc.nat({ max: TRANSFER_BLOCKS - 1 }).map((id) => id as BlockId);
const blocks = fc.uniqueArray(block, { maxLength: 4 });
const call = fc.oneof(
  fc.record({ kind: fc.constant('write' as const), blocks, seed: fc.nat({ max: 255 }) }),
  fc.record({
    kind: fc.constant('copy' as const),
    copies: fc.array(fc.record({ from: block, to: block }), { minLength: 1, maxLength: 4 }),
  }),
  fc.record({ kind: fc.constant('read' as const), blocks }),
);

/**
 * What all do that copy blocks for tiers: they bring each block's bytes as they were written, and
 * none of another. To be called with each.
 *
 * @param create it is disposed of by the suite
 */
export function describeBlockTransfer(name: string, create: () => Promise<TransferFixture>): void {
  describe(`${name}, as any transfer of blocks`, { timeout: DEVICE_TIMEOUT_MS }, () => {
    let fixture: TransferFixture;
    beforeAll(async () => {
      fixture = await create();
    }, DEVICE_TIMEOUT_MS);
    afterAll(() => fixture.dispose());

    /** Into shared memory, as the tiers have it, between bytes that must stay as they are. */
    async function read(list: readonly number[]): Promise<Uint8Array[]> {
      const { transfer } = fixture;
      const size = transfer.bytesPerBlock;
      const all = new Uint8Array(new SharedArrayBuffer(list.length * (size + 8))).fill(0xa5);
      const starts = list.map((_, i) => i * (size + 8));
      await transfer.read(
        list,
        starts.map((start) => all.subarray(start, start + size)),
      );
      return starts.map((start) => {
        expect(all.subarray(start + size, start + size + 8)).toEqual(new Uint8Array(8).fill(0xa5));
        return all.slice(start, start + size);
      });
    }

    it('gives back what was written or copied, in order and bit for bit', async () => {
      const { transfer } = fixture;
      const every = Array.from({ length: TRANSFER_BLOCKS }, (_, i) => i);
      const plain = await read(every);
      await fc.assert(
        fc.asyncProperty(fc.array(call, { maxLength: 8 }), async (calls) => {
          for (const c of calls) {
            if (c.kind === 'copy') {
              await fixture.copy(c.copies);
              for (const { from, to } of c.copies) plain[to] = plain[from].slice();
            } else if (c.kind === 'write') {
              const contents = c.blocks.map((b) =>
                Uint8Array.from(plain[b], (_, i) => (i * 31 + c.seed + b) % 251),
              );
              await transfer.write(c.blocks, contents);
              for (const [i, b] of c.blocks.entries()) plain[b] = contents[i];
            } else {
              expect(await read(c.blocks)).toEqual(c.blocks.map((b) => plain[b]));
            }
          }
          expect(await read(every)).toEqual(plain);
        }),
        { numRuns: 20, seed: 20261130 },
      );
    });
  });
}
