import { expect } from 'vitest';
import type { TlsFiles } from '../../engine/protocol/options.js';
import type { BlockTier } from '../../engine/tiers/block-tier.js';
import { fileName } from '../../engine/tiers/file-name.js';
import { connectTier } from '../../engine/tiers/redis-connection.js';
import { RedisTier } from '../../engine/tiers/redis-tier.js';
import { HEAD_BYTES } from '../../engine/tiers/tier-record.js';
import {
  loadOne,
  TEST_BLOCK_BYTES,
  TEST_CAPACITY,
  testContent,
  testKey,
} from '../conformance/block-tier.js';

/** What a tier is told of time, and what it has logged. */
export interface Clocks {
  readonly lines: string[];
  /** Milliseconds. */
  time: number;
  /** Milliseconds by which the wall clock is ahead. */
  later: number;
}

let prefixes = 0;

/** A tier for `TEST_CAPACITY` contents in a real Redis; absent a prefix, it is empty. */
export async function openRedisTier(
  url: string,
  options: { prefix?: string; namespace?: string; files?: TlsFiles } = {},
) {
  const { prefix = `test${prefixes++}`, namespace = 'c'.repeat(32), files } = options;
  const clocks: Clocks = { lines: [], time: 0, later: 0 };
  const redis = await connectTier(url, true, files);
  const tier = new RedisTier({
    redis,
    keyPrefix: prefix,
    ttlSeconds: 60,
    capacityBytes: TEST_CAPACITY * (HEAD_BYTES + TEST_BLOCK_BYTES),
    bytesPerBlock: TEST_BLOCK_BYTES,
    namespace,
    now: () => clocks.time,
    wallClock: () => Date.now() + clocks.later,
    log: (line) => void clocks.lines.push(line),
  });
  const keyOf = (n: number): string => `${prefix}:${namespace}:${fileName(testKey(n))}`;
  return { tier, redis, clocks, keyOf, prefix };
}

/** A tier that was left alone is used again, when its time has come. */
export async function expectRecovery(tier: BlockTier, clocks: Clocks): Promise<void> {
  await expect
    .poll(
      async () => {
        clocks.time += 5000;
        return tier.store([testKey(1)], [testContent(1)]);
      },
      { interval: 200 },
    )
    .toEqual([true]);
  expect(await loadOne(tier, testKey(1))).toEqual(testContent(1));
}
