import type { AvailableMemory } from '../../engine/environment/available-memory.js';
import type { EngineInfo } from '../../engine/protocol/options.js';
import type { Settings } from '../config/settings.js';

type CacheFacts = Pick<
  EngineInfo,
  'numBlocks' | 'blockSize' | 'kvDtype' | 'device' | 'deviceFacts'
>;

/** What the log says of the KV cache at start, beside the memory by which its default is chosen. */
export function cacheLine(
  { kvCacheMemory }: Pick<Settings, 'kvCacheMemory'>,
  { numBlocks, blockSize, kvDtype, device, deviceFacts }: CacheFacts,
  host: AvailableMemory,
): string {
  const cache = `KV cache: ${mib(kvCacheMemory)}, ${numBlocks} blocks of ${blockSize} tokens, ${kvDtype}`;
  if (device !== 'cpu') {
    const { name = device, memoryBytes = null } = deviceFacts ?? {};
    const memory = memoryBytes === null ? '' : `, which has ${mib(memoryBytes)}`;
    return `${cache}, on the GPU ${name}${memory}`;
  }
  const whose = host.isLimited ? "the cgroup's limit" : "the machine's memory";
  return `${cache}; ${whose} is ${mib(host.bytes)}`;
}

/** Rounded down, as flags are written. */
export const mib = (bytes: number): string => `${Math.floor(bytes / 2 ** 20)}MiB`;
