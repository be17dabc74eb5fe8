import { totalmem } from 'node:os';

export interface MemorySources {
  /**
   * @returns bytes that the system allows this process (a cgroup's limit); 0, or more than there
   * is: no limit
   */
  readonly limit: () => number;
  /** @returns bytes of the machine */
  readonly total: () => number;
}

const SYSTEM: MemorySources = { limit: () => process.constrainedMemory(), total: totalmem };

export interface AvailableMemory {
  readonly bytes: number;
  /** Whether a limit of the system, as containers have it, is below what the machine has. */
  readonly isLimited: boolean;
}

/** Bytes that this process may use: the container's share where there is one. */
export function availableMemory(sources: MemorySources = SYSTEM): AvailableMemory {
  const [limit, total] = [sources.limit(), sources.total()];
  const isLimited = limit > 0 && limit < total;
  return { bytes: isLimited ? limit : total, isLimited };
}

/** The rest is for weights, ONNX Runtime's buffers, the heap, and what waits for clients. */
const SHARE = 1 / 4;
const MOST = 2 ** 30;

/** What the KV cache may take where nothing is said: a quarter of the memory, at most 1 GiB. */
export function defaultKvCacheBytes({ bytes }: AvailableMemory = availableMemory()): number {
  return Math.min(MOST, Math.floor(bytes * SHARE));
}
