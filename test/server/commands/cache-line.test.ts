import { expect, test } from 'vitest';
import { cacheLine } from '../../../server/commands/cache-line.js';

test.each([
  [true, "KV cache: 256MiB, 800 blocks of 16 tokens, bf16; the cgroup's limit is 1024MiB"],
  [false, "KV cache: 256MiB, 800 blocks of 16 tokens, bf16; the machine's memory is 1024MiB"],
])('the log says what the cache has, and of how much (limited: %s)', (isLimited, line) => {
  const settings = { kvCacheMemory: 2 ** 28, kvDtype: 'bf16' as const };
  const memory = { bytes: 2 ** 30, isLimited };
  expect(cacheLine(settings, { numBlocks: 800, blockSize: 16 }, memory)).toBe(line);
});
