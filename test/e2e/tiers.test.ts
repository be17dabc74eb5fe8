import { mkdtempSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Redis } from 'ioredis';
import { describe, expect, it, onTestFinished } from 'vitest';
import { freePort } from '../../bench/lib/free-port.js';
import { hasProgram } from '../support/debian-programs.js';
import { eventually } from '../support/eventually.js';
import {
  exitCode,
  metric,
  type RunningServer,
  runOctavo,
  startOctavo,
} from '../support/octavo-process.js';
import { startRedis } from '../support/redis-process.js';
import { type TestAuthority, testAuthority } from '../support/tls-files.js';

/** Pages for one long prompt: each next one takes the place of those before it. */
const SMALL = ['--max-model-len', '256', '--kv-cache-memory', '720KiB', '--threads', '1'];

const PROMPTS = Array.from({ length: 6 }, (_, i) =>
  Array.from({ length: 24 }, (_word, k) => `${'abcdefghij'[(i * 7 + k * 3) % 10]}${i}${k}`).join(
    ' ',
  ),
);

interface Answer {
  readonly text: string;
  readonly cached: number;
}

const start = (args: readonly string[]): Promise<RunningServer> => startOctavo([...SMALL, ...args]);

async function stop({ child }: RunningServer): Promise<void> {
  const code = exitCode(child);
  child.kill('SIGTERM');
  expect(await code).toBe(0);
}

async function complete(url: string, prompt: string): Promise<Answer> {
  const response = await fetch(`${url}/v1/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ prompt, max_tokens: 12, temperature: 0 }),
  });
  const body = (await response.json()) as {
    choices: { text: string }[];
    usage: { prompt_tokens_details: { cached_tokens: number } };
  };
  return { text: body.choices[0].text, cached: body.usage.prompt_tokens_details.cached_tokens };
}

/** One after the other, twice. */
async function completeAll(url: string): Promise<[Answer[], Answer[]]> {
  const rounds: Answer[][] = [];
  for (let round = 0; round < 2; round++) {
    const answers: Answer[] = [];
    for (const prompt of PROMPTS) answers.push(await complete(url, prompt));
    rounds.push(answers);
  }
  return rounds as [Answer[], Answer[]];
}

const textsOf = (answers: readonly Answer[]): string[] => answers.map(({ text }) => text);
const cachedOf = (answers: readonly Answer[]): number =>
  answers.reduce((sum, { cached }) => sum + cached, 0);

/** Blocks are written behind. */
const untilWritten = (url: string): Promise<void> =>
  eventually(
    async () => (await metric(url, 'vllm:kv_tier_blocks_queued')) === 0,
    'all that was evicted is written',
  );

const newDirectory = (): string => mkdtempSync(join(tmpdir(), 'octavo-kv-'));

describe('tiers behind a KV cache that is too small', () => {
  it('host memory: the same texts, and the metrics tell where prefixes came from', async () => {
    const { url } = await start(['--kv-host-memory', '64MiB']);
    // Nothing is found in the first round.
    const [first, second] = await completeAll(url);
    expect(textsOf(second)).toEqual(textsOf(first));
    expect(cachedOf(second)).toBeGreaterThan(60 * PROMPTS.length);
    const hits = await metric(url, 'vllm:external_prefix_cache_hits_total');
    const inPages = await metric(url, 'vllm:prefix_cache_hits_total');
    expect(hits + inPages).toBe(cachedOf(first) + cachedOf(second));
    expect(hits).toBeGreaterThan(0.9 * cachedOf(second));
    const queries = await metric(url, 'vllm:external_prefix_cache_queries_total');
    expect(queries).toBeGreaterThan(hits);
    expect(await metric(url, 'vllm:kv_tier_bytes')).toBeGreaterThan(2 ** 20);
  });

  it('disk: a server that stops comes back with its prefixes, damaged files are computed again', async () => {
    const directory = newDirectory();
    const disk = ['--kv-cache-dir', directory, '--kv-cache-disk', '256MiB'];
    const first = await start(disk);
    const [expected, again] = await completeAll(first.url);
    expect(textsOf(again)).toEqual(textsOf(expected));
    await stop(first);
    const second = await start(disk);
    const [after] = await completeAll(second.url);
    expect(textsOf(after)).toEqual(textsOf(expected));
    // As many as the same prompts had before.
    expect(cachedOf(after)).toBeGreaterThanOrEqual(0.9 * cachedOf(again));
    await stop(second);
    for (const [i, file] of filesIn(directory).entries()) {
      const bytes = readFileSync(file);
      if (i % 3 === 0) bytes[bytes.length >> 1] ^= 1;
      writeFileSync(file, i % 3 === 1 ? bytes.subarray(0, i * 100) : bytes);
    }
    const third = await start(disk);
    const [damaged] = await completeAll(third.url);
    expect(textsOf(damaged)).toEqual(textsOf(expected));
    expect(cachedOf(damaged)).toBeLessThan(cachedOf(after));
  });
});

describe('POST /reset_prefix_cache', () => {
  it('leaves tiers as they are, and empties them with reset_external=true', async () => {
    const directory = newDirectory();
    const { url } = await start(['--kv-cache-dir', directory]);
    const reset = async (query = ''): Promise<number> =>
      (await fetch(`${url}/reset_prefix_cache${query}`, { method: 'POST' })).status;
    const [expected] = await completeAll(url);
    expect(await reset()).toBe(200);
    expect((await complete(url, PROMPTS[0])).cached).toBeGreaterThan(60);
    await untilWritten(url);
    expect(filesIn(directory).length).toBeGreaterThan(20);
    expect(await reset('?reset_external=true')).toBe(200);
    expect(filesIn(directory)).toEqual([]);
    const after = await complete(url, PROMPTS[0]);
    expect(after).toEqual({ text: expected[0].text, cached: 0 });
  });
});

const filesIn = (directory: string): string[] =>
  readdirSync(directory, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name));

describe.skipIf(!hasProgram('redis-server'))('a tier in Redis', () => {
  it('is shared by two servers; when it dies, no client sees an error', async () => {
    const redis = await startRedis();
    onTestFinished(() => redis.stop());
    const args = ['--kv-tier', redis.url, '--kv-host-memory', '1MiB'];
    const a = await start(args);
    const [expected] = await completeAll(a.url);
    // Asked for twice, and evicted by the next ones: written behind.
    await completeAll(a.url);
    await untilWritten(a.url);
    const direct = new Redis(redis.url);
    onTestFinished(() => direct.disconnect());
    expect(await direct.dbsize()).toBeGreaterThan(20);
    direct.disconnect();
    const b = await start(args);
    const [shared] = await completeAll(b.url);
    expect(textsOf(shared)).toEqual(textsOf(expected));
    expect(cachedOf(shared)).toBeGreaterThan(30 * PROMPTS.length);
    expect(await metric(b.url, 'vllm:external_prefix_cache_hits_total')).toBeGreaterThan(0);
    await redis.stop();
    const [alone] = await completeAll(b.url);
    expect(textsOf(alone)).toEqual(textsOf(expected));
    // Memory is up, Redis is given up.
    expect(await metric(b.url, 'vllm:kv_tier_up')).toBe(1);
  });
});

describe.skipIf(!hasProgram('redis-server') || !hasProgram('openssl'))('a tier over TLS', () => {
  it('is used with the authority that Node.js is told; a wrong certificate costs hits only', async () => {
    const [right, wrong] = [testAuthority(), testAuthority()];
    const user = ['--user', 'tier', 'on', '>pass', '~team:kv:*', '+@all'];
    const port = await freePort();
    const open = (authority: TestAuthority) =>
      startRedis({
        port,
        args: user,
        tls: { ...authority.issue('IP:127.0.0.1'), ca: authority.ca },
      });
    const redis = await open(right);
    onTestFinished(() => redis.stop());
    const args = ['--kv-tier-prefix', 'team:kv', '--kv-host-memory', '1MiB'];
    const a = await startOctavo([...SMALL, ...args], {
      OCTAVO_KV_TIER: `rediss://tier:pass@127.0.0.1:${port}`,
      NODE_EXTRA_CA_CERTS: right.ca,
    });
    let log = '';
    a.child.stdout?.on('data', (chunk: Buffer) => (log += chunk.toString()));
    a.child.stderr?.on('data', (chunk: Buffer) => (log += chunk.toString()));
    const [expected] = await completeAll(a.url);
    await completeAll(a.url);
    await expect.poll(() => metric(a.url, 'vllm:kv_tier_blocks_stored_total')).toBeGreaterThan(20);
    await redis.stop();
    const impostor = await open(wrong);
    onTestFinished(() => impostor.stop());
    const [alone, again] = await completeAll(a.url);
    expect(textsOf(alone)).toEqual(textsOf(expected));
    expect(textsOf(again)).toEqual(textsOf(expected));
    await eventually(() => log.includes('is left alone'), 'the log says so');
    const lines = log.split('\n').filter((line) => line.includes('reading from Redis'));
    expect(lines).toEqual([expect.stringContaining('is left alone')]);
    expect(log).not.toContain('tier:pass');
  });
});

describe('tiers that cannot be', () => {
  const file = join(newDirectory(), 'file');
  writeFileSync(file, '');
  const tooSmall = 'holds no block of the KV cache; must be at least';
  const noDirectory = 'must be a directory that can be read and written';
  it.each([
    [['--kv-host-memory', '0'], 2, '--kv-host-memory 0: must be a size'],
    [['--kv-host-memory', '100'], 2, `--kv-host-memory 100: ${tooSmall}`],
    [['--kv-host-memory', '1GiB', '--no-enable-prefix-caching'], 2, 'allows none'],
    [['--kv-cache-disk', '1GiB'], 2, 'bounds the files in --kv-cache-dir, which is not given'],
    [['--kv-tier', 'http://localhost'], 2, 'must be a redis:// or rediss:// URL'],
    [['--kv-tier-memory', '1GiB'], 2, 'bounds what is in --kv-tier, which is not given'],
    [['--kv-tier-ca', file], 2, '--kv-tier-ca: needs --kv-tier with a rediss:// URL'],
    [
      ['--kv-tier', 'rediss://127.0.0.1:1', '--kv-tier-cert', file],
      2,
      '--kv-tier-cert: needs --kv-tier-key',
    ],
    [
      ['--kv-tier', 'rediss://127.0.0.1:1', '--kv-tier-ca', join(file, 'no')],
      2,
      'cannot be read (ENOTDIR)',
    ],
    [
      ['--kv-tier', 'redis://127.0.0.1:1'],
      1,
      'no Redis answers at 127.0.0.1:1: connect ECONNREFUSED',
    ],
    [['--kv-cache-dir', file], 1, `--kv-cache-dir ${file}: ${noDirectory}`],
  ])('%j: one clear line', async (args, code, message) => {
    const ended = await runOctavo(['serve', '--port', '0', ...SMALL, ...args]);
    expect(ended.stderr).toContain(message);
    expect(ended.code).toBe(code);
  });
});
