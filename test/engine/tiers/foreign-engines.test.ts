import { mkdirSync, mkdtempSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Redis } from 'ioredis';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { EngineOptions, TierOptions } from '../../../engine/protocol/options.js';
import type { TierName, TierStats } from '../../../engine/protocol/reports.js';
import type { EngineRequest } from '../../../engine/protocol/request.js';
import type { LoadedEngine } from '../../../engine/thread/load-engine.js';
import type { TokenId } from '../../../scheduler/ids.js';
import { hasProgram } from '../../support/debian-programs.js';
import { octavoTinyRepository } from '../../support/hub-models.js';
import { goldenPrompts, loadTiny, tinyRequest } from '../../support/octavo-tiny.js';
import { type RedisProcess, startRedis } from '../../support/redis-process.js';
import { willing } from '../../support/tier-waits.js';

const MIB = 2 ** 20;
const temporary = (name: string): string => mkdtempSync(join(tmpdir(), `octavo-${name}-`));

/** The same graph, one of whose weights has another sign. */
function otherWeights(): string {
  const directory = temporary('model');
  mkdirSync(join(directory, 'onnx'));
  for (const [name, bytes] of octavoTinyRepository().files) {
    const copy = Buffer.from(bytes);
    if (name.endsWith('_data')) copy[(copy.length >> 3) * 4 + 3] ^= 0x80;
    writeFileSync(join(directory, name), copy);
  }
  return directory;
}

/** Engines that must never take each other's contents. */
const ENGINES: Readonly<Record<string, () => Partial<EngineOptions>>> = {
  'octavo-tiny': () => ({}),
  'other pages': () => ({ kvDtype: 'int8' }),
  'other blocks': () => ({ blockSize: 32 }),
  'other weights': () => ({ modelDir: otherWeights() }),
  'other weights of int8': () => ({
    quantize: { kind: 'w8a8', nbits: false, cacheDir: temporary('cache') },
  }),
};

const PROMPT = (goldenPrompts().find(({ length }) => length > 200) as TokenId[]).slice(0, 140);

/** Runs one request. Farther tiers answer while it waits. */
async function ask(engine: LoadedEngine, more: Partial<EngineRequest> = {}) {
  const { core } = engine;
  core.add(tinyRequest(`r${performance.now()}`, PROMPT, { maxTokens: 12, ...more }));
  const tokens: TokenId[] = [];
  let cached: number | null = null;
  while (core.hasWork) {
    const ready = core.whenReady();
    const outputs = await core.step();
    if (!outputs) await ready;
    for (const output of outputs ?? []) {
      tokens.push(...output.tokenIds);
      cached ??= output.cachedTokens;
    }
  }
  return { tokens, cached };
}

async function close({ tiers, cache, runner }: LoadedEngine): Promise<void> {
  await tiers?.save(cache.pool);
  await tiers?.close();
  await runner.dispose();
}

const farOf = (engine: LoadedEngine): TierStats =>
  engine.core.stats.tiers?.find(({ name }) => name !== 'memory') as TierStats;

const canServe = hasProgram('redis-server');

describe.each(canServe ? (['disk', 'redis'] as const) : (['disk'] as const))(
  'engines that share one tier: %s',
  (kind: TierName) => {
    const directory = temporary('kv');
    const options = new Map(Object.entries(ENGINES).map(([name, make]) => [name, make()]));
    const expected = new Map<string, readonly TokenId[]>();
    let redis: RedisProcess | null = null;
    let tiers: TierOptions;

    const start = (name: string) =>
      loadTiny(
        { ...options.get(name), maxModelLength: 256, threads: 1, tiers },
        { tierWaits: willing() },
      );

    beforeAll(async () => {
      if (kind === 'redis') redis = await startRedis();
      tiers = {
        hostMemoryBytes: 16 * MIB,
        ...(kind === 'disk' && { disk: { directory, capacityBytes: 256 * MIB } }),
        ...(redis && {
          redis: { url: redis.url, keyPrefix: 'kv', ttlSeconds: 600, capacityBytes: 256 * MIB },
        }),
      };
    });
    afterAll(() => redis?.stop());

    it('find what they have kept themselves, and nothing of the others', async () => {
      for (const name of options.keys()) {
        // All before it have kept the same prompt.
        const engine = await start(name);
        const { tokens, cached } = await ask(engine);
        expect({ name, cached, found: farOf(engine).found }).toEqual({ name, cached: 0, found: 0 });
        expected.set(name, tokens);
        // Found in the pages: worth a place in Redis.
        await ask(engine);
        await close(engine);
      }
      for (const name of options.keys()) {
        const engine = await start(name);
        const { tokens, cached } = await ask(engine);
        expect({ name, tokens }).toEqual({ name, tokens: expected.get(name) });
        expect({ name, cached }).toEqual({ name, cached: 128 });
        expect(farOf(engine).failed).toBe(0);
        await close(engine);
      }
    });

    it('find nothing of another salt', async () => {
      const engine = await start('octavo-tiny');
      for (const cacheSalt of ['alice', 'bob', '']) {
        const { tokens, cached } = await ask(engine, { cacheSalt });
        expect([tokens, cached]).toEqual([expected.get('octavo-tiny'), 0]);
        expect(farOf(engine).found).toBe(0);
        await ask(engine, { cacheSalt });
      }
      await close(engine);
      const next = await start('octavo-tiny');
      expect((await ask(next, { cacheSalt: 'carol' })).cached).toBe(0);
      expect((await ask(next, { cacheSalt: 'bob' })).cached).toBe(128);
      expect((await ask(next)).cached).toBe(128);
      await close(next);
    });

    it('take nothing that stands under their keys and is of another engine, or another key', async () => {
      // Records of the two have the same size.
      const [ours, theirs] = ['octavo-tiny', 'other weights'];
      await replaceRecords(kind, directory, redis?.url ?? '');
      for (const name of [ours, theirs]) {
        const engine = await start(name);
        const { tokens, cached } = await ask(engine);
        expect({ name, tokens, cached }).toEqual({ name, tokens: expected.get(name), cached: 0 });
        expect(farOf(engine).failed).toBeGreaterThan(0);
        await close(engine);
      }
    });
  },
);

/** Puts into the place of each record one of the same size, in turn. */
async function replaceRecords(kind: TierName, directory: string, url: string): Promise<void> {
  const records = new Map<string, Buffer>();
  const client = kind === 'redis' ? new Redis(url) : null;
  if (client) {
    for (const key of await client.keys('kv:*.*')) {
      records.set(key, (await client.getBuffer(key)) as Buffer);
    }
  } else {
    for (const entry of readdirSync(directory, { recursive: true, withFileTypes: true })) {
      const path = join(entry.parentPath, entry.name);
      if (entry.isFile()) records.set(path, readFileSync(path));
    }
  }
  const sizes = new Set([...records.values()].map(({ length }) => length));
  expect(sizes.size).toBeGreaterThan(1);
  for (const size of sizes) {
    const keys = [...records.keys()].filter((key) => records.get(key)?.length === size);
    for (const [i, key] of keys.entries()) {
      const other = records.get(keys[(i + 1) % keys.length]) as Buffer;
      if (client) await client.set(key, other);
      else writeFileSync(key, other);
    }
  }
  client?.disconnect();
}
