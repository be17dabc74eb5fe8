import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type {
  EngineOptions,
  RedisTierSettings,
  TierOptions,
} from '../../../engine/protocol/options.js';
import type { TierStats } from '../../../engine/protocol/reports.js';
import type { LoadedEngine } from '../../../engine/thread/load-engine.js';
import { hasProgram } from '../../support/debian-programs.js';
import { goldenPrompts, loadTiny, runAll, tinyRequest } from '../../support/octavo-tiny.js';
import { type RedisProcess, startRedis } from '../../support/redis-process.js';
import { expectSameTexts, type Texts } from '../../support/same-texts.js';
import { willing } from '../../support/tier-waits.js';
import { DEVICE_TIMEOUT_MS, hasWebGpu } from '../../support/webgpu.js';

const LENGTH = 6;
const BLOCK = 32;
/** Bytes of a block of the embedded model: 5 layers, K and V, 2 heads of 32 in float16. */
const BLOCK_BYTES = 5 * 2 * 2 * 32 * 2 * BLOCK;
/** Three blocks each, so that the pages below hold two of them. */
const PROMPTS = goldenPrompts()
  .filter(({ length }) => length > 100)
  .slice(0, 4)
  .map((prompt) => prompt.slice(0, 100));

describe.skipIf(!(await hasWebGpu()) || !hasProgram('redis-server'))(
  'tiers behind the cache of a device',
  { timeout: DEVICE_TIMEOUT_MS },
  () => {
    let redis: RedisProcess;
    let expected: Texts;
    const disk = { directory: mkdtempSync(join(tmpdir(), 'tiers-')), capacityBytes: 2 ** 30 };
    const shared = (): RedisTierSettings => ({
      url: redis.url,
      keyPrefix: 'device',
      ttlSeconds: 600,
      capacityBytes: 2 ** 30,
      tls: {},
    });

    const load = (
      tiers: Partial<TierOptions>,
      more: Partial<EngineOptions> = {},
    ): Promise<LoadedEngine> =>
      loadTiny(
        {
          device: 'webgpu',
          blockSize: BLOCK,
          maxModelLength: 128,
          maxNumBatchedTokens: 128,
          kvCacheBytes: 7 * BLOCK_BYTES,
          tiers: { hostMemoryBytes: 2 ** 24, ...tiers },
          ...more,
        },
        { tierWaits: willing() },
      );

    /** One after the other. */
    async function texts(engine: LoadedEngine): Promise<Texts> {
      const all = new Map();
      for (const [i, prompt] of PROMPTS.entries()) {
        const request = tinyRequest(`${i}`, prompt, { maxTokens: LENGTH, logprobs: 2 });
        for (const [id, outputs] of await runAll(engine, [request])) all.set(id, outputs);
      }
      engine.core.checkIntegrity();
      return all;
    }

    const cachedIn = (found: Texts): number[] =>
      [...found.values()].map(([first]) => first.tierTokens ?? 0);

    function statsOf({ core }: LoadedEngine, name: TierStats['name']): TierStats {
      const stats = core.stats.tiers?.find((tier) => tier.name === name);
      if (!stats) throw new Error(`no tier ${name}`);
      return stats;
    }

    /** As at the end of a server. */
    async function stop({ tiers, cache, runner }: LoadedEngine): Promise<void> {
      await tiers?.save(cache.pool);
      await tiers?.close();
      await runner.dispose();
    }

    let first: LoadedEngine;
    beforeAll(async () => {
      redis = await startRedis();
      first = await load({ disk, redis: shared() });
      expected = await texts(first);
    }, DEVICE_TIMEOUT_MS);
    afterAll(async () => {
      await redis.stop();
    });

    it('give back from host memory what was computed', async () => {
      expect(cachedIn(expected)).toEqual([0, 0, 0, 0]);
      const again = await texts(first);
      expect(Math.min(...cachedIn(again))).toBe(3 * BLOCK);
      expect(statsOf(first, 'memory').loaded).toBeGreaterThanOrEqual(3 * PROMPTS.length);
      expectSameTexts(again, expected, LENGTH);
      // Asked for twice: Redis is given it.
      await stop(first);
      expect(statsOf(first, 'redis').stored).toBeGreaterThanOrEqual(3 * PROMPTS.length);
    });

    it('give it back from disk after a restart', async () => {
      const engine = await load({ disk });
      expect(engine.modelFingerprint).toBe(first.modelFingerprint);
      const again = await texts(engine);
      expect(Math.min(...cachedIn(again))).toBe(3 * BLOCK);
      expect(statsOf(engine, 'disk').loaded).toBe(3 * PROMPTS.length);
      expectSameTexts(again, expected, LENGTH);
      await stop(engine);
    });

    it('give it back from Redis to another server', async () => {
      const engine = await load({ redis: shared() });
      const again = await texts(engine);
      expect(Math.min(...cachedIn(again))).toBe(3 * BLOCK);
      expect(statsOf(engine, 'redis').loaded).toBe(3 * PROMPTS.length);
      expectSameTexts(again, expected, LENGTH);
      await stop(engine);
    });

    it('give nothing of it to the CPU, whose blocks have another format', async () => {
      const cpu = await load({ disk, redis: shared() }, { device: 'cpu', kvCacheBytes: 2 ** 24 });
      expect(cpu.modelFingerprint).not.toBe(first.modelFingerprint);
      expect(cachedIn(await texts(cpu))).toEqual([0, 0, 0, 0]);
      for (const name of ['disk', 'redis'] as const) expect(statsOf(cpu, name).found).toBe(0);
      await stop(cpu);
    });
  },
);
