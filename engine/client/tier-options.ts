import { OctavoError } from '../errors.js';
import type { EngineOptions, TierOptions } from '../protocol/options.js';
import type { EngineSettings } from '../settings.js';

type TierSettings = Pick<
  EngineSettings,
  'kvCacheMemory' | 'kvHostMemory' | 'kvCacheDir' | 'kvCacheDisk' | 'enablePrefixCaching'
>;

const DEFAULT_DISK_BYTES = 16 * 2 ** 30;

/** Memory that is set aside for contents that arrive from farther tiers, at least. */
const MIN_ARRIVING_BYTES = 64 * 2 ** 20;
/** And as a share of the KV cache's: what arrives at one time may fill so much of it. */
const ARRIVING_SHARE = 0.25;

/**
 * The tiers behind the KV cache that settings ask for.
 *
 * @throws OctavoError `usage` for settings that would have no effect
 */
export function tierOptions(settings: TierSettings): Pick<EngineOptions, 'tiers'> {
  const { kvHostMemory, kvCacheDir, kvCacheDisk } = settings;
  if (kvCacheDisk !== undefined && kvCacheDir === undefined) {
    throw usage('--kv-cache-disk', 'bounds the files in --kv-cache-dir, which is not given');
  }
  const first = kvHostMemory === undefined ? kvCacheDir && '--kv-cache-dir' : '--kv-host-memory';
  if (first === undefined) return {};
  if (!settings.enablePrefixCaching) {
    throw usage(first, 'holds cached prefixes, and --no-enable-prefix-caching allows none');
  }
  const share = Math.floor(settings.kvCacheMemory * ARRIVING_SHARE);
  const arriving = Math.max(MIN_ARRIVING_BYTES, share);
  const tiers: TierOptions = {
    hostMemoryBytes: kvHostMemory ?? arriving,
    ...(kvCacheDir !== undefined && {
      disk: { directory: kvCacheDir, capacityBytes: kvCacheDisk ?? DEFAULT_DISK_BYTES },
    }),
  };
  return { tiers };
}

function usage(flag: string, problem: string): OctavoError {
  return new OctavoError('usage', `${flag}: ${problem}`, { param: flag });
}
