import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { BlockStore } from '../../engine/attention/block-store.js';

/** A store with at least as many blocks. */
export const STORE_BLOCKS = 6;

const block = fc.nat({ max: STORE_BLOCKS - 1 });
/** Which part of a block is read or written: all of it often. */
const share = fc.oneof(fc.constant(1), fc.double({ min: 0, max: 1, noNaN: true }));
const skip = fc.oneof(fc.constant(0), fc.double({ min: 0, max: 1, noNaN: true }));
const call = fc.oneof(
  fc.record({
    kind: fc.constant('write' as const),
    block,
    share,
    skip,
    seed: fc.nat({ max: 255 }),
  }),
  fc.record({ kind: fc.constant('copy' as const), from: block, to: block }),
  fc.record({ kind: fc.constant('read' as const), block, share, skip }),
);

/**
 * What every store of blocks does: it keeps `bytesPerBlock` bytes of each block, whatever their
 * places in memory are. To be called with each.
 */
export function describeBlockStore(name: string, create: () => BlockStore): void {
  describe(`${name}, as any store of blocks`, () => {
    it('gives back what was written or copied, of each block alone', () => {
      const store = create();
      const size = store.bytesPerBlock;
      expect(size).toBeGreaterThan(8);
      const read = (index: number, length = size, offset = 0): Uint8Array => {
        // What a short read must not touch, and a whole one must overwrite.
        const bytes = new Uint8Array(length + 8).fill(0xa5);
        store.read(index, bytes.subarray(0, length), offset);
        expect(bytes.subarray(length).every((byte) => byte === 0xa5)).toBe(true);
        return bytes.subarray(0, length);
      };
      const plain = Array.from({ length: STORE_BLOCKS }, (_, index) => read(index).slice());
      fc.assert(
        fc.property(fc.array(call, { maxLength: 12 }), (calls) => {
          for (const c of calls) {
            if (c.kind === 'copy') {
              store.copy(c.from, c.to);
              plain[c.to].set(plain[c.from]);
              continue;
            }
            const offset = Math.round(c.skip * size);
            const length = Math.round(c.share * (size - offset));
            if (c.kind === 'write') {
              const bytes = Uint8Array.from({ length }, (_, i) => (i * 31 + c.seed) % 251);
              store.write(c.block, bytes, offset);
              plain[c.block].set(bytes, offset);
            } else {
              const expected = plain[c.block].subarray(offset, offset + length);
              expect(read(c.block, length, offset)).toEqual(expected);
            }
          }
          for (const [index, bytes] of plain.entries()) expect(read(index)).toEqual(bytes);
        }),
        { numRuns: 30, seed: 20261130 },
      );
    });
  });
}
