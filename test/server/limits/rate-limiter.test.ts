import { Redis } from 'ioredis';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  memoryRateLimiter,
  redisRateLimiter,
} from '../../../server/limits/flexible-rate-limiter.js';
import type { RateLimiter } from '../../../server/limits/rate-limiter.js';
import { hasProgram } from '../../support/debian-programs.js';
import { type RedisProcess, startRedis } from '../../support/redis-process.js';

/** What every rate limiter must do. */
function conforms(create: (name: string, limit: number) => RateLimiter): void {
  it('charges until the budget is gone, and each client alone', async () => {
    const limiter = create('alone', 10);
    expect(await limiter.charge('a', 4)).toMatchObject({ allowed: true, limit: 10, remaining: 6 });
    expect(await limiter.charge('a', 6)).toMatchObject({ allowed: true, remaining: 0 });
    const refused = await limiter.charge('a', 1);
    expect(refused).toMatchObject({ allowed: false, remaining: 0 });
    expect(refused.resetMs).toBeGreaterThan(0);
    expect(refused.resetMs).toBeLessThanOrEqual(60_000);
    expect(await limiter.charge('b', 10)).toMatchObject({ allowed: true, remaining: 0 });
  });

  it('charges nothing for what it refuses', async () => {
    const limiter = create('refused', 10);
    await limiter.charge('a', 7);
    expect(await limiter.charge('a', 5)).toMatchObject({ allowed: false, remaining: 3 });
    expect(await limiter.charge('a', 3)).toMatchObject({ allowed: true, remaining: 0 });
  });

  it('takes refunds, and none beyond what was charged', async () => {
    const limiter = create('refund', 10);
    await limiter.refund('a', 5);
    await limiter.charge('a', 8);
    await limiter.refund('a', 6);
    expect(await limiter.charge('a', 8)).toMatchObject({ allowed: true, remaining: 0 });
    await limiter.refund('a', 1000);
    expect(await limiter.charge('a', 11)).toMatchObject({ allowed: false, remaining: 10 });
  });
}

describe('rate limits in this process', () => {
  conforms(memoryRateLimiter);
});

describe.skipIf(!hasProgram('redis-server'))('rate limits in Redis', () => {
  let server: RedisProcess;
  let redis: Redis;
  beforeAll(async () => {
    server = await startRedis();
    redis = new Redis(server.url);
  });
  afterAll(async () => {
    redis.disconnect();
    await server.stop();
  });

  conforms((name, limit) => redisRateLimiter(name, limit, redis));

  it('are shared by all processes with the same Redis', async () => {
    const other = new Redis(server.url);
    await redisRateLimiter('shared', 10, redis).charge('a', 8);
    const there = await redisRateLimiter('shared', 10, other).charge('a', 3);
    expect(there).toMatchObject({ allowed: false, remaining: 2 });
    other.disconnect();
  });
});
