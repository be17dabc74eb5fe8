import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { DeviceCache } from '../../../engine/device/device-cache.js';
import type { BlockId } from '../../../kvcache/ids.js';
import { DEVICE_TIMEOUT_MS, hasWebGpu } from '../../support/webgpu.js';

const BLOCKS = 6;
const block = fc.nat({ max: BLOCKS - 1 });
const some = fc.uniqueArray(block, { minLength: 1, maxLength: 4 });
const call = fc.oneof(
  fc.record({ kind: fc.constant('write' as const), blocks: some, seed: fc.nat({ max: 255 }) }),
  fc.record({
    kind: fc.constant('copy' as const),
    copies: fc.array(fc.record({ from: block, to: block }), { minLength: 1, maxLength: 4 }),
  }),
  fc.record({ kind: fc.constant('read' as const), blocks: some }),
);

describe.skipIf(!(await hasWebGpu()))('the cache on a device', () => {
  let cache: DeviceCache;
  beforeAll(async () => {
    // Slots of two sizes.
    const slots = [
      { numKvHeads: 2, headSize: 16 },
      { numKvHeads: 1, headSize: 8 },
    ];
    cache = await DeviceCache.create({ slots, numBlocks: BLOCKS, blockSize: 32 });
  }, DEVICE_TIMEOUT_MS);
  afterAll(() => cache.dispose());

  const read = async (blocks: readonly number[]): Promise<Uint8Array[]> => {
    const into = blocks.map(() => new Uint8Array(cache.bytesPerBlock).fill(0xa5));
    await cache.read(blocks, into);
    return into;
  };

  it('begins with zeros', async () => {
    expect(cache.bytesPerBlock).toBe(2 * 2 * 32 * (2 * 16 + 8));
    const whole = await read(Array.from({ length: BLOCKS }, (_, i) => i));
    expect(whole.every((bytes) => bytes.every((byte) => byte === 0))).toBe(true);
  });

  it(
    'gives back what was written or copied, in order and bit for bit',
    async () => {
      const plain = await read(Array.from({ length: BLOCKS }, (_, i) => i));
      await fc.assert(
        fc.asyncProperty(fc.array(call, { maxLength: 8 }), async (calls) => {
          for (const c of calls) {
            if (c.kind === 'copy') {
              await cache.copy(c.copies as { from: BlockId; to: BlockId }[]);
              for (const { from, to } of c.copies) plain[to] = plain[from].slice();
            } else if (c.kind === 'write') {
              const contents = c.blocks.map((b) =>
                Uint8Array.from(plain[b], (_, i) => (i * 31 + c.seed + b) % 251),
              );
              await cache.write(c.blocks, contents);
              for (const [i, b] of c.blocks.entries()) plain[b] = contents[i];
            } else {
              expect(await read(c.blocks)).toEqual(c.blocks.map((b) => plain[b]));
            }
          }
          expect(await read([...plain.keys()])).toEqual(plain);
        }),
        { numRuns: 20, seed: 20261130 },
      );
    },
    DEVICE_TIMEOUT_MS,
  );

  it('refuses blocks that it does not have, which kernels would not', async () => {
    const bytes = [new Uint8Array(cache.bytesPerBlock)];
    const copy = { from: 0, to: BLOCKS } as { from: BlockId; to: BlockId };
    await expect(cache.copy([copy])).rejects.toThrow('block 6 of a cache of 6 blocks');
    await expect(cache.read([-1], bytes)).rejects.toThrow('block -1 of a cache');
    await expect(cache.write([1.5], bytes)).rejects.toThrow('block 1.5 of a cache');
  });

  it('may be disposed of twice', async () => {
    const slots = [{ numKvHeads: 1, headSize: 8 }];
    const other = await DeviceCache.create({ slots, numBlocks: 1, blockSize: 32 });
    await other.dispose();
    await expect(other.dispose()).resolves.toBeUndefined();
  });
});
