import { createServer } from 'node:net';
import { Redis } from 'ioredis';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { freePort } from '../../../bench/lib/free-port.js';
import { connectTier } from '../../../engine/tiers/redis-connection.js';
import { HEAD_BYTES } from '../../../engine/tiers/tier-record.js';
import { describeBlockTier, loadOne, testContent, testKey } from '../../conformance/block-tier.js';
import { hasProgram } from '../../support/debian-programs.js';
import { type RedisProcess, startRedis, startRedisCluster } from '../../support/redis-process.js';
import { expectRecovery, openRedisTier } from '../../support/redis-tier.js';
import { contentHash } from '../../support/sequences.js';

describe.skipIf(!hasProgram('redis-server'))('a tier in Redis', () => {
  let server: RedisProcess;
  let direct: Redis;
  beforeAll(async () => {
    server = await startRedis();
    direct = new Redis(server.url);
  });
  afterAll(async () => {
    direct.disconnect();
    await server.stop();
  });

  describeBlockTier('Redis', async () => (await openRedisTier(server.url)).tier);

  it('is shared by servers of one model, and by no others', async () => {
    const { tier: a, prefix } = await openRedisTier(server.url);
    const { tier: b } = await openRedisTier(server.url, { prefix });
    const { tier: other } = await openRedisTier(server.url, { prefix, namespace: 'd'.repeat(32) });
    await a.store([testKey(1)], [testContent(1)]);
    expect(await loadOne(b, testKey(1))).toEqual(testContent(1));
    expect(await other.has([testKey(1)])).toEqual([false]);
    for (const tier of [a, b, other]) await tier.close();
  });

  it('tells servers of one model what others were asked for, and no others', async () => {
    const { tier: a, prefix } = await openRedisTier(server.url);
    const { tier: b } = await openRedisTier(server.url, { prefix });
    const { tier: other } = await openRedisTier(server.url, { prefix, namespace: 'd'.repeat(32) });
    const [first, second] = [contentHash('1'), contentHash('2')];
    expect(await a.marks.mark('asked', [first])).toEqual([false]);
    expect(await b.marks.mark('asked', [first, second])).toEqual([true, false]);
    expect(await b.marks.marked('generated', [first, second])).toEqual([false, false]);
    await a.marks.mark('generated', [second]);
    expect(await b.marks.marked('generated', [first, second])).toEqual([false, true]);
    expect(await other.marks.mark('asked', [first])).toEqual([false]);
    expect(await a.marks.mark('asked', [])).toEqual([]);
    await a.clear();
    expect(await b.marks.marked('asked', [first, second])).toEqual([false, false]);
    for (const tier of [a, b, other]) await tier.close();
  });

  it('forgets marks after an hour, and half an hour at the soonest', async () => {
    const { tier, prefix, clocks } = await openRedisTier(server.url);
    const HALF_HOUR = 1_800_000;
    await tier.marks.mark('asked', [contentHash('1')]);
    clocks.later = HALF_HOUR;
    expect(await tier.marks.marked('asked', [contentHash('1')])).toEqual([true]);
    clocks.later = 2 * HALF_HOUR;
    expect(await tier.marks.marked('asked', [contentHash('1')])).toEqual([false]);
    const keys = await direct.keys(`${prefix}:*:marks:*`);
    // Two bitmaps of 1 MiB are all that marks ever take, for they expire.
    expect(await direct.ttl(keys[0])).toBeGreaterThan(3500);
    expect(await direct.strlen(keys[0])).toBeLessThanOrEqual(2 ** 20);
    await tier.close();
  });

  it('takes no marks from a server that allows none, with one line in the log', async () => {
    const rights = ['on', '>right', '~*', '+@all', '-bitfield'];
    await direct.call('ACL', 'SETUSER', 'nomarks', ...rights);
    const { host } = new URL(server.url);
    const { tier, clocks } = await openRedisTier(`redis://nomarks:right@${host}`);
    for (let n = 0; n < 5; n++)
      expect(await tier.marks.mark('asked', [contentHash('1')])).toEqual([false]);
    expect(clocks.lines).toEqual([
      expect.stringMatching(/^--kv-tier: marking in Redis is left alone, .*NOPERM/),
    ]);
    // All else goes on.
    expect(await tier.store([testKey(1)], [testContent(1)])).toEqual([true]);
    expect(await loadOne(tier, testKey(1))).toEqual(testContent(1));
    await tier.close();
  });

  it('lets contents expire after their last use', async () => {
    const { tier, keyOf } = await openRedisTier(server.url);
    await tier.store([testKey(1)], [testContent(1)]);
    expect(await direct.ttl(keyOf(1))).toBeGreaterThan(50);
    await direct.expire(keyOf(1), 5);
    await loadOne(tier, testKey(1));
    await expect.poll(() => direct.ttl(keyOf(1))).toBeGreaterThan(50);
    await tier.close();
  });

  it('never takes garbage, truncated, foreign or old values for a content', async () => {
    const { tier, keyOf } = await openRedisTier(server.url);
    await tier.store([testKey(1), testKey(2)], [testContent(1), testContent(2)]);
    const record = (await direct.getBuffer(keyOf(2))) as Buffer;
    const flipped = Buffer.from(record);
    flipped[HEAD_BYTES + 5] ^= 1;
    for (const garbage of [
      Buffer.from('garbage'),
      record.subarray(0, 900),
      record,
      flipped,
      Buffer.alloc(0),
    ]) {
      await direct.set(keyOf(1), garbage);
      expect(await loadOne(tier, testKey(1))).toBeNull();
      await expect.poll(() => direct.exists(keyOf(1))).toBe(0);
    }
    await direct.rpush(keyOf(1), 'a list');
    expect(await loadOne(tier, testKey(1))).toBeNull();
    expect(await loadOne(tier, testKey(2))).toEqual(testContent(2));
    expect(tier.stats.failed).toBe(6);
    await tier.close();
  });

  it('reads on when the server takes nothing more, with one line in the log', async () => {
    const { tier, clocks } = await openRedisTier(server.url);
    await tier.store([testKey(1)], [testContent(1)]);
    await direct.config('SET', 'maxmemory', '1');
    try {
      for (let n = 2; n < 7; n++) {
        expect(await tier.store([testKey(n)], [testContent(n)])).toEqual([false]);
      }
      expect(clocks.lines).toEqual([
        expect.stringMatching(/^--kv-tier: writing to Redis is left alone, .*OOM/),
      ]);
      expect(await loadOne(tier, testKey(1))).toEqual(testContent(1));
    } finally {
      await direct.config('SET', 'maxmemory', '0');
    }
    clocks.time += 5000;
    expect(await tier.store([testKey(2)], [testContent(2)])).toEqual([true]);
    await tier.close();
  });

  it('is a miss while the server is gone, at once after three tries, and comes back with it', async () => {
    const port = await freePort();
    const first = await startRedis({ port });
    const { tier, clocks } = await openRedisTier(first.url);
    await tier.store([testKey(1)], [testContent(1)]);
    await first.stop();
    for (let n = 0; n < 6; n++) expect(await tier.has([testKey(1)])).toEqual([false]);
    expect(await loadOne(tier, testKey(1))).toBeNull();
    expect(tier.stats.isUp).toBe(false);
    expect(clocks.lines.length).toBe(1);
    const second = await startRedis({ port });
    await expect
      .poll(
        async () => {
          clocks.time += 5000;
          await tier.has([testKey(1)]);
          return tier.stats.isUp;
        },
        { interval: 200 },
      )
      .toBe(true);
    expect(await tier.has([testKey(1)])).toEqual([false]);
    await expectRecovery(tier, clocks);
    await tier.close();
    await second.stop();
  });

  it('is a miss when the server is too slow', async () => {
    const slow = await startRedis();
    const { tier, clocks } = await openRedisTier(slow.url);
    await tier.store([testKey(1)], [testContent(1)]);
    const admin = new Redis(slow.url);
    // Longer than any test.
    await admin.call('CLIENT', 'PAUSE', '600000', 'ALL');
    admin.disconnect();
    // Three times the time of a command; then the breaker answers.
    for (let n = 0; n < 5; n++) expect(await tier.has([testKey(1)])).toEqual([false]);
    expect(clocks.lines).toEqual([
      expect.stringMatching(/^--kv-tier: reading from Redis is left alone, .*timed out/),
    ]);
    await slow.stop();
    await tier.close();
  });

  it('says at the start why it cannot be used', async () => {
    const port = await freePort();
    await expect(connectTier(`redis://127.0.0.1:${port}`, true)).rejects.toMatchObject({
      kind: 'redis_unreachable',
      message: `--kv-tier: no Redis answers at 127.0.0.1:${port}: connect ECONNREFUSED 127.0.0.1:${port}`,
    });
    const locked = await startRedis({
      args: ['--user', 'tier', 'on', '>right', '~octavo:*', '+@all'],
    });
    const { host } = new URL(locked.url);
    await expect(connectTier(`redis://tier:wrong@${host}`, true)).rejects.toThrow('WRONGPASS');
    const { tier } = await openRedisTier(`redis://tier:right@${host}`, { prefix: 'octavo:kv' });
    expect(await tier.store([testKey(1)], [testContent(1)])).toEqual([true]);
    await tier.close();
    // What answers no RESP is no Redis.
    const web = createServer((socket) => void socket.end('HTTP/1.1 400 Bad Request\r\n\r\n'));
    await new Promise<void>((resolve) => web.listen(0, '127.0.0.1', resolve));
    const { port: webPort } = web.address() as { port: number };
    await expect(connectTier(`redis://127.0.0.1:${webPort}`, true)).rejects.toMatchObject({
      kind: 'redis_unreachable',
    });
    web.close();
    await locked.stop();
  });
});

describe.skipIf(!hasProgram('redis-server'))('a tier in a cluster of three', () => {
  let cluster: RedisProcess;
  beforeAll(async () => {
    cluster = await startRedisCluster();
  });
  afterAll(async () => cluster.stop());
  describeBlockTier('Redis Cluster', async () => (await openRedisTier(cluster.url)).tier);
});
