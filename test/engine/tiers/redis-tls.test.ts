import { describe, expect, it, onTestFinished } from 'vitest';
import { freePort } from '../../../bench/lib/free-port.js';
import type { TlsFiles } from '../../../engine/protocol/options.js';
import { connectTier } from '../../../engine/tiers/redis-connection.js';
import { loadOne, TEST_CAPACITY, testContent, testKey } from '../../conformance/block-tier.js';
import { hasProgram } from '../../support/debian-programs.js';
import { type RedisOptions, startRedis } from '../../support/redis-process.js';
import { expectRecovery, openRedisTier } from '../../support/redis-tier.js';
import { contentHash } from '../../support/sequences.js';
import { testAuthority } from '../../support/tls-files.js';

const LOCAL = 'IP:127.0.0.1';

async function serve(options: RedisOptions): Promise<string> {
  const server = await startRedis(options);
  onTestFinished(() => server.stop());
  return server.url;
}

async function open(url: string, files: TlsFiles) {
  const opened = await openRedisTier(url, { prefix: 'team:kv', files });
  onTestFinished(() => opened.tier.close());
  return opened;
}

const canServe = hasProgram('redis-server') && hasProgram('openssl');

describe.skipIf(!canServe)('a tier in Redis over TLS', () => {
  it('works for a user of the ACL who may use the prefix only', async () => {
    const { ca, issue } = testAuthority();
    // What the documentation says that the user needs.
    const rights =
      '+get +set +exists +expire +unlink +info +ping +bitfield +zadd +zcard +zpopmin +zrange +zrem +zremrangebyscore';
    const url = await serve({
      tls: { ...issue(LOCAL), ca },
      args: ['--user', 'tier', 'on', '>pass', '~team:kv:*', '-@all', ...rights.split(' ')],
    });
    const { tier, clocks } = await open(url.replace('://', '://tier:pass@'), { ca });
    for (let n = 0; n < 2 * TEST_CAPACITY; n++) {
      expect(await tier.store([testKey(n)], [testContent(n)])).toEqual([true]);
    }
    const last = 2 * TEST_CAPACITY - 1;
    expect(await loadOne(tier, testKey(last))).toEqual(testContent(last));
    expect(tier.stats.blocks).toBe(TEST_CAPACITY);
    expect(await tier.marks.mark('asked', [contentHash('1')])).toEqual([false]);
    expect(await tier.marks.mark('asked', [contentHash('1')])).toEqual([true]);
    expect(await tier.clear()).toBe(true);
    expect(clocks.lines).toEqual([]);
  });

  it('says at the start why a certificate is not taken', async () => {
    const { ca, issue } = testAuthority();
    const other = testAuthority();
    const tls = { ...issue(LOCAL), ca };
    const url = await serve({ tls });
    const refused = (reason: string) => ({
      kind: 'redis_unreachable',
      message: expect.stringContaining(reason) as string,
    });
    await expect(connectTier(url, true)).rejects.toMatchObject(refused('certificate'));
    await expect(connectTier(url, true, { ca: other.ca })).rejects.toMatchObject(
      refused('certificate'),
    );
    const misnamed = await serve({ tls: { ...issue('DNS:redis.example'), ca } });
    await expect(connectTier(misnamed, true, { ca })).rejects.toMatchObject(
      refused("does not match certificate's altnames"),
    );
    // A server without TLS, and TLS where none is spoken.
    const plain = await serve({});
    await expect(
      connectTier(plain.replace('redis:', 'rediss:'), true, { ca }),
    ).rejects.toMatchObject({ kind: 'redis_unreachable' });
    await expect(connectTier(url.replace('rediss:', 'redis:'), true)).rejects.toMatchObject({
      kind: 'redis_unreachable',
    });
  });

  it('shows a certificate to a server that wants one', async () => {
    const { ca, issue } = testAuthority();
    const url = await serve({ tls: { ...issue(LOCAL), ca, wantsCertificates: true } });
    await expect(connectTier(url, true, { ca })).rejects.toMatchObject({
      kind: 'redis_unreachable',
    });
    const { tier } = await open(url, { ca, ...issue('DNS:client') });
    expect(await tier.store([testKey(1)], [testContent(1)])).toEqual([true]);
    expect(await loadOne(tier, testKey(1))).toEqual(testContent(1));
  });

  it('is a miss while the server shows a wrong certificate, with one line that says so', async () => {
    const { ca, issue } = testAuthority();
    const other = testAuthority();
    const port = await freePort();
    const first = await startRedis({ port, tls: { ...issue(LOCAL), ca } });
    onTestFinished(() => first.stop());
    const { tier, redis, clocks } = await open(first.url, { ca });
    await tier.store([testKey(1)], [testContent(1)]);
    const isFoundOut = new Promise<void>((resolve) => {
      redis.on('error', ({ message }: Error) => {
        if (message.includes('certificate')) resolve();
      });
    });
    await first.stop();
    const wrong = await startRedis({ port, tls: { ...other.issue(LOCAL), ca: other.ca } });
    onTestFinished(() => wrong.stop());
    await isFoundOut;
    for (let n = 0; n < 6; n++) expect(await tier.has([testKey(1)])).toEqual([false]);
    expect(await loadOne(tier, testKey(1))).toBeNull();
    expect(clocks.lines).toEqual([
      expect.stringMatching(/^--kv-tier: reading from Redis is left alone, .*certificate/),
    ]);
    await wrong.stop();
    const again = await startRedis({ port, tls: { ...issue(LOCAL), ca } });
    onTestFinished(() => again.stop());
    await expectRecovery(tier, clocks);
  });

  it('names a file that cannot be read', async () => {
    await expect(connectTier('rediss://127.0.0.1:1', true, { ca: '/no/ca' })).rejects.toMatchObject(
      { kind: 'usage', message: '--kv-tier-ca /no/ca: cannot be read (ENOENT)' },
    );
  });
});
