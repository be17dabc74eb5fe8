import { describe, expect, it } from 'vitest';
import { assertWithinMemory } from '../../../engine/thread/memory-limit.js';
import { connectionsWithin, tooLittleFor } from '../../../server/config/system-limits.js';
import { finished, metric, octavoThrough, runOctavo } from '../../support/octavo-process.js';

const FREE = { openFiles: Infinity, addressSpace: Infinity };

describe('the system allows too little', () => {
  it.each([
    [
      '-n 64',
      ['--version'],
      /^octavo: 64 files may be open \(ulimit -n\): at least 256 are needed\n$/,
    ],
    [
      '-v 3000000',
      ['serve', '--port', '0'],
      /^octavo: the address space is limited to 2\.9 GiB \(ulimit -v\): WebAssembly reserves [^\n]+ at least 24 GiB\. [^\n]+\n$/,
    ],
  ])('ulimit %s: one line, exit code 1', async (limit, args, line) => {
    const { code, stdout, stderr } = await finished(
      octavoThrough(`ulimit ${limit}; exec "$@"`, args),
    );
    expect(stderr).toMatch(line);
    expect([code, stdout]).toEqual([1, '']);
  });

  it('few files: it serves fewer connections, and says so', async () => {
    const child = octavoThrough('ulimit -n 256; exec "$@"', ['serve', '--port', '0']);
    let output = '';
    const url = await new Promise<string>((resolve) => {
      child.stdout?.on('data', (chunk: Buffer) => {
        output += chunk.toString();
        const found = /serving \S+ on (http:\/\/[\d.]+:\d+)/.exec(output);
        if (found) resolve(found[1]);
      });
    });
    expect(output).toContain('at most 98 connections, not 4096: 256 files may be open (ulimit -n)');
    // All that it takes, and the reserve, without running out of files.
    const many = Array.from({ length: 150 }, () => fetch(`${url}/health`));
    expect(new Set((await Promise.all(many)).map(({ status }) => status))).toEqual(new Set([200]));
    expect(await metric(url, 'process_open_fds')).toBeLessThan(256);
  });

  it('commands that run no model need no addresses', () => {
    const limits = { ...FREE, addressSpace: 2 ** 31 };
    expect(tooLittleFor('--help', limits)).toBeNull();
    expect(tooLittleFor('bench', limits)).toBeNull();
    expect(tooLittleFor('chat', limits)?.kind).toBe('system_limit');
    expect(tooLittleFor('serve', FREE)).toBeNull();
  });

  it('connections: what is wanted, or what files there are for', () => {
    expect(connectionsWithin(FREE, 4096)).toBe(4096);
    expect(connectionsWithin({ ...FREE, openFiles: 4476 }, 4096)).toBe(4096);
    expect(connectionsWithin({ ...FREE, openFiles: 1024 }, 4096)).toBe(644);
    expect(connectionsWithin({ ...FREE, openFiles: 256 }, 4096)).toBe(98);
  });
});

describe('memory', () => {
  const GIB = 2 ** 30;
  it('must hold weights and KV cache, where a limit is known', () => {
    const sizes = { kvCacheBytes: 2 * GIB, weightBytes: GIB };
    assertWithinMemory(sizes, 0);
    assertWithinMemory(sizes, 3 * GIB);
    assertWithinMemory(sizes, 2 ** 64);
    expect(() => assertWithinMemory(sizes, 2 * GIB)).toThrow(
      "the process may use 2.00GiB of memory (its cgroup's limit); the weights take 1.00GiB, and --kv-cache-memory is 2.00GiB; " +
        'less than 1.00GiB is left for the KV cache and all else: lower --kv-cache-memory',
    );
    expect(() => assertWithinMemory(sizes, GIB / 2)).toThrow('; take a smaller model');
  });

  it('a KV cache that is too large for the kernel is told the largest possible', async () => {
    const { code, stderr } = await runOctavo(['generate', 'Hi', '--kv-cache-memory', '500GiB']);
    const [, most] =
      /^octavo: the model may not fit: .*\noctavo: --kv-cache-memory 500\.00GiB: at most ([\d.]+GiB) for this model and --kv-dtype f32, since the pages of one layer, [\d.]+GiB then, may have [\d.]+GiB\n$/.exec(
        stderr,
      ) ?? [];
    expect([code, most === undefined ? stderr : '']).toEqual([2, '']);
    const taken = await runOctavo([
      'generate',
      'Hi',
      '--kv-cache-memory',
      most ?? '',
      '--max-tokens',
      '1',
    ]);
    expect(taken.code).toBe(0);
    expect(taken.stderr).toMatch(/^(octavo: the model may not fit: .*\n)?$/);
  });
});
