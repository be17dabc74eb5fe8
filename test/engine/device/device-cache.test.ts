import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { DeviceCache } from '../../../engine/device/device-cache.js';
import type { BlockId } from '../../../kvcache/ids.js';
import { describeBlockTransfer, TRANSFER_BLOCKS } from '../../conformance/block-transfer.js';
import { DEVICE_TIMEOUT_MS, hasWebGpu } from '../../support/webgpu.js';

const BLOCKS = TRANSFER_BLOCKS;
/** Slots of two sizes. */
const SLOTS = [
  { numKvHeads: 2, headSize: 16 },
  { numKvHeads: 1, headSize: 8 },
];
const BLOCK_BYTES = 2 * 2 * 32 * (2 * 16 + 8);

const create = (maxCopyBytes?: number): Promise<DeviceCache> =>
  DeviceCache.create({ slots: SLOTS, numBlocks: BLOCKS, blockSize: 32 }, maxCopyBytes);

describe.skipIf(!(await hasWebGpu()))('the cache on a device', () => {
  describeBlockTransfer('in pieces of three blocks', async () => {
    const transfer = await create(3 * BLOCK_BYTES + 1);
    return {
      transfer,
      copy: (copies) => transfer.copy(copies),
      dispose: () => transfer.dispose(),
    };
  });

  let cache: DeviceCache;
  beforeAll(async () => {
    cache = await create();
  }, DEVICE_TIMEOUT_MS);
  afterAll(() => cache.dispose());

  it('begins with zeros', async () => {
    expect(cache.bytesPerBlock).toBe(BLOCK_BYTES);
    const whole = Array.from({ length: BLOCKS }, () => new Uint8Array(BLOCK_BYTES).fill(0xa5));
    await cache.read([...whole.keys()], whole);
    expect(whole.every((bytes) => bytes.every((byte) => byte === 0))).toBe(true);
  });

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
