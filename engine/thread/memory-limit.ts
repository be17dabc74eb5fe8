import { OctavoError } from '../errors.js';

const GIB = 2 ** 30;

export interface MemoryNeeds {
  readonly kvCacheBytes: number;
  /** Of the tier behind the KV cache; absent: there is none. */
  readonly hostMemoryBytes?: number;
  readonly weightBytes: number;
}

/**
 * Checks that weights and cache fit into the memory that the process may use. Otherwise, the system
 * would kill the process without a message once the cache is full.
 *
 * @param limit bytes that the system allows the process (a cgroup's limit); 0, or more than the
 *   machine has, means no limit
 * @throws OctavoError `system_limit`
 */
export function assertWithinMemory(
  { kvCacheBytes, hostMemoryBytes = 0, weightBytes }: MemoryNeeds,
  limit: number = process.constrainedMemory(),
): void {
  if (limit === 0 || kvCacheBytes + hostMemoryBytes + weightBytes <= limit) return;
  const left = limit - weightBytes;
  const advice =
    left > 0
      ? `less than ${gib(left)} is left for the KV cache and all else: lower --kv-cache-memory${hostMemoryBytes > 0 ? ' or --kv-host-memory' : ''}`
      : 'take a smaller model';
  throw new OctavoError(
    'system_limit',
    `the process may use ${gib(limit)} of memory (its cgroup's limit); the weights take ${gib(weightBytes)}, and ` +
      `--kv-cache-memory is ${gib(kvCacheBytes)}${hostMemoryBytes > 0 ? `, --kv-host-memory ${gib(hostMemoryBytes)}` : ''}; ${advice}`,
  );
}

const gib = (bytes: number): string => `${(Math.floor((bytes / GIB) * 100) / 100).toFixed(2)}GiB`;
