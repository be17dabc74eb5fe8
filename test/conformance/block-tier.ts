import fc from 'fast-check';
import { afterEach, describe, expect, it } from 'vitest';
import { type BlockKey, type BlockTier, blockKey } from '../../engine/tiers/block-tier.js';
import { contentHash } from '../support/sequences.js';

/** Bytes of a content; not a multiple of anything. */
export const TEST_BLOCK_BYTES = 1003;
/** Contents that a tier of the tests holds, at most. */
export const TEST_CAPACITY = 8;

export const testKey = (n: number, group = 0): BlockKey =>
  blockKey(group, contentHash(`content ${n}`));

/** What is kept under a key: each key has its own. In shared memory, as the engine's is. */
export function testContent(n: number): Uint8Array {
  const content = sharedBytes();
  for (let i = 0; i < content.length; i++) content[i] = (n * 31 + i * 7 + (i >> 8)) & 0xff;
  return content;
}

export const sharedBytes = (): Uint8Array =>
  new Uint8Array(new SharedArrayBuffer(TEST_BLOCK_BYTES));

/** Loads one content; null for a miss. */
export async function loadOne(tier: BlockTier, key: BlockKey): Promise<Uint8Array | null> {
  const into = sharedBytes();
  const [isLoaded] = await tier.load([key], [into]);
  return isLoaded ? into : null;
}

/**
 * What every tier promises. To be called by the tests of each.
 *
 * @param create an empty tier for `TEST_CAPACITY` contents of `TEST_BLOCK_BYTES`
 */
export function describeBlockTier(name: string, create: () => Promise<BlockTier>): void {
  describe(`${name}: what every tier promises`, () => {
    const open: BlockTier[] = [];
    const start = async (): Promise<BlockTier> => {
      const tier = await create();
      open.push(tier);
      return tier;
    };
    afterEach(async () => {
      for (const tier of open.splice(0)) await tier.close();
    });

    it('gives back what it was given, byte by byte, and misses all else', async () => {
      const tier = await start();
      const keys = [testKey(1), testKey(2), testKey(3)];
      expect(await tier.has(keys)).toEqual([false, false, false]);
      const stored = [testKey(1), testKey(3)];
      expect(await tier.store(stored, [testContent(1), testContent(3)])).toEqual([true, true]);
      expect(await tier.has(keys)).toEqual([true, false, true]);
      // What is there is not written again.
      expect(await tier.store([testKey(1)], [testContent(1)])).toEqual([true]);
      const into = keys.map(sharedBytes);
      expect(await tier.load(keys, into)).toEqual([true, false, true]);
      expect(Buffer.compare(into[0], testContent(1))).toBe(0);
      expect(Buffer.compare(into[2], testContent(3))).toBe(0);
      expect(tier.stats).toMatchObject({ isUp: true, blocks: 2, loaded: 2, stored: 2 });
      expect(tier.stats.bytes).toBeLessThanOrEqual(tier.stats.capacityBytes);
    });

    it('tells groups of layers apart', async () => {
      const tier = await start();
      await tier.store([testKey(1, 0), testKey(1, 1)], [testContent(10), testContent(11)]);
      expect(await loadOne(tier, testKey(1, 0))).toEqual(testContent(10));
      expect(await loadOne(tier, testKey(1, 1))).toEqual(testContent(11));
      expect(await loadOne(tier, testKey(1, 2))).toBeNull();
    });

    it('answers empty lists', async () => {
      const tier = await start();
      expect(await tier.has([])).toEqual([]);
      expect(await tier.load([], [])).toEqual([]);
      expect(await tier.store([], [])).toEqual([]);
    });

    it('keeps its bound, and what was asked for of late', async () => {
      const tier = await start();
      await tier.store([testKey(0)], [testContent(0)]);
      for (let n = 1; n <= 3 * TEST_CAPACITY; n++) {
        await tier.store([testKey(n)], [testContent(n)]);
        expect(await loadOne(tier, testKey(0))).toEqual(testContent(0));
        expect(tier.stats.blocks).toBeLessThanOrEqual(TEST_CAPACITY);
        expect(tier.stats.bytes).toBeLessThanOrEqual(tier.stats.capacityBytes);
      }
      expect(await tier.has([testKey(1), testKey(3 * TEST_CAPACITY)])).toEqual([false, true]);
    });

    it('takes more at once than it holds', async () => {
      const tier = await start();
      const numbers = Array.from({ length: 2 * TEST_CAPACITY }, (_, n) => n);
      await tier.store(
        numbers.map((n) => testKey(n)),
        numbers.map(testContent),
      );
      const has = await tier.has(numbers.map((n) => testKey(n)));
      expect(has.filter(Boolean).length).toBeGreaterThan(0);
      for (const n of numbers) {
        const content = await loadOne(tier, testKey(n));
        if (content) expect(content).toEqual(testContent(n));
      }
    });

    it('forgets all when it is cleared', async () => {
      const tier = await start();
      await tier.store([testKey(1), testKey(2)], [testContent(1), testContent(2)]);
      expect(await tier.clear()).toBe(true);
      expect(await tier.has([testKey(1), testKey(2)])).toEqual([false, false]);
      expect(await loadOne(tier, testKey(1))).toBeNull();
      expect(await tier.store([testKey(1)], [testContent(1)])).toEqual([true]);
      expect(await loadOne(tier, testKey(1))).toEqual(testContent(1));
    });

    it('gives the right content or none, whatever was stored and loaded before', async () => {
      const call = fc.record({
        isStore: fc.boolean(),
        keys: fc.uniqueArray(fc.nat({ max: 11 }), { minLength: 1, maxLength: 4 }),
      });
      const tier = await start();
      await fc.assert(
        fc.asyncProperty(fc.array(call, { maxLength: 12 }), async (calls) => {
          await tier.clear();
          // Several at once, as sequences do that arrive together.
          await Promise.all(
            calls.map(async ({ isStore, keys: numbers }) => {
              const keys = numbers.map((n) => testKey(n));
              if (isStore) return void (await tier.store(keys, numbers.map(testContent)));
              const into = numbers.map(sharedBytes);
              const loaded = await tier.load(keys, into);
              for (const [i, n] of numbers.entries()) {
                if (loaded[i]) expect(into[i]).toEqual(testContent(n));
              }
            }),
          );
        }),
        { numRuns: 20 },
      );
    });
  });
}
