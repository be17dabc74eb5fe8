import { expect, test } from 'vitest';
import { cacheLine } from '../../../server/pool/cache-line.js';

test.each([
  [true, "KV cache: 256MiB, 800 blocks of 16 tokens, bf16; the cgroup's limit is 1024MiB"],
  [false, "KV cache: 256MiB, 800 blocks of 16 tokens, bf16; the machine's memory is 1024MiB"],
])('the log says what the cache has, and of how much (limited: %s)', (isLimited, line) => {
  const memory = { bytes: 2 ** 30, isLimited };
  const info = { numBlocks: 800, blockSize: 16, kvDtype: 'bf16', device: 'cpu' } as const;
  expect(cacheLine({ kvCacheMemory: 2 ** 28 }, info, memory)).toBe(line);
});

test("the log says that a GPU's cache is in its own memory", () => {
  const memory = { bytes: 2 ** 30, isLimited: false };
  const gpu = (memoryBytes: number | null) =>
    ({
      numBlocks: 400,
      blockSize: 32,
      kvDtype: 'f16',
      device: 'webgpu',
      deviceFacts: { name: 'RTX 4070', memoryBytes },
    }) as const;
  const line = 'KV cache: 256MiB, 400 blocks of 32 tokens, f16, on the GPU RTX 4070';
  expect(cacheLine({ kvCacheMemory: 2 ** 28 }, gpu(null), memory)).toBe(line);
  const sized = `${line}, which has 8192MiB`;
  expect(cacheLine({ kvCacheMemory: 2 ** 28 }, gpu(2 ** 33), memory)).toBe(sized);
});
