import { OctavoError } from '../errors.js';

const GIB = 2 ** 30;

/**
 * What lies in memory for certain must fit into what the process may use. Beyond that the system ends it, without a word, on the day on
 * which the cache is full.
 *
 * @param limit bytes that the system allows the process (a cgroup's limit); 0, or more than there is: no limit
 * @throws OctavoError `system_limit`
 */
export function assertWithinMemory(
  { kvCacheBytes, weightBytes }: { readonly kvCacheBytes: number; readonly weightBytes: number },
  limit: number = process.constrainedMemory(),
): void {
  if (limit === 0 || kvCacheBytes + weightBytes <= limit) return;
  const left = limit - weightBytes;
  const advice =
    left > 0
      ? `less than ${gib(left)} is left for the KV cache and all else: lower --kv-cache-memory`
      : 'take a smaller model';
  throw new OctavoError(
    'system_limit',
    `the process may use ${gib(limit)} of memory (its cgroup's limit); the weights take ${gib(weightBytes)}, and ` +
      `--kv-cache-memory is ${gib(kvCacheBytes)}; ${advice}`,
  );
}

const gib = (bytes: number): string => `${(Math.floor((bytes / GIB) * 100) / 100).toFixed(2)}GiB`;
