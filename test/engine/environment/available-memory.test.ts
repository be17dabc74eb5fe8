import { expect, it } from 'vitest';
import {
  availableMemory,
  defaultKvCacheBytes,
  type MemorySources,
} from '../../../engine/environment/available-memory.js';
import { assertWithinMemory } from '../../../engine/thread/memory-limit.js';

const GIB = 2 ** 30;

function machine(limit: number, total = 16 * GIB): MemorySources {
  return { limit: () => limit, total: () => total };
}

it.each([
  ['a container of 1 GiB', machine(GIB), GIB, true, GIB / 4],
  ['a container of 3 GiB', machine(3 * GIB), 3 * GIB, true, 0.75 * GIB],
  ['a container of 8 GiB', machine(8 * GIB), 8 * GIB, true, GIB],
  ['no limit, as Node says it', machine(0), 16 * GIB, false, GIB],
  ['no limit, as cgroups say it', machine(2 ** 64), 16 * GIB, false, GIB],
  ['a machine of 2 GiB', machine(0, 2 * GIB), 2 * GIB, false, GIB / 2],
])('%s', (_, sources, bytes, isLimited, cache) => {
  const memory = availableMemory(sources);
  expect(memory).toEqual({ bytes, isLimited });
  expect(defaultKvCacheBytes(memory)).toBe(cache);
  // It starts, whatever the container's size: with weights of another half.
  assertWithinMemory({ kvCacheBytes: cache, weightBytes: bytes / 2 }, sources.limit());
});

it('is a whole number of bytes', () => {
  expect(defaultKvCacheBytes(availableMemory(machine(GIB + 1)))).toBe(GIB / 4);
});

it('knows the memory of this machine', () => {
  const { bytes } = availableMemory();
  expect(bytes).toBeGreaterThan(GIB);
  expect(Number.isSafeInteger(bytes)).toBe(true);
});
