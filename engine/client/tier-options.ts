import { OctavoError } from '../errors.js';
import type { EngineOptions, TierOptions } from '../protocol/options.js';
import type { EngineSettings } from '../settings.js';

type TierSettings = Pick<
  EngineSettings,
  | 'kvCacheMemory'
  | 'kvHostMemory'
  | 'kvCacheDir'
  | 'kvCacheDisk'
  | 'kvTier'
  | 'kvTierMemory'
  | 'kvTierTtl'
  | 'kvTierPrefix'
  | 'kvTierCa'
  | 'kvTierCert'
  | 'kvTierKey'
  | 'enablePrefixCaching'
>;

const DEFAULT_DISK_BYTES = 16 * 2 ** 30;
const DEFAULT_REDIS_BYTES = 4 * 2 ** 30;

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
  const { kvHostMemory, kvCacheDir, kvCacheDisk, kvTier, kvTierMemory } = settings;
  if (kvCacheDisk !== undefined && kvCacheDir === undefined) {
    throw usage('--kv-cache-disk', 'bounds the files in --kv-cache-dir, which is not given');
  }
  if (kvTierMemory !== undefined && kvTier === undefined) {
    throw usage('--kv-tier-memory', 'bounds what is in --kv-tier, which is not given');
  }
  const given = {
    '--kv-host-memory': kvHostMemory,
    '--kv-cache-dir': kvCacheDir,
    '--kv-tier': kvTier,
  };
  const first = Object.entries(given).find(([, value]) => value !== undefined)?.[0];
  const tls = tlsFiles(settings);
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
    ...(kvTier !== undefined && {
      redis: {
        url: kvTier,
        keyPrefix: settings.kvTierPrefix,
        ttlSeconds: settings.kvTierTtl,
        capacityBytes: kvTierMemory ?? DEFAULT_REDIS_BYTES,
        tls,
      },
    }),
  };
  return { tiers };
}

function tlsFiles({ kvTier, kvTierCa: ca, kvTierCert: cert, kvTierKey: key }: TierSettings) {
  const given = { '--kv-tier-ca': ca, '--kv-tier-cert': cert, '--kv-tier-key': key };
  const first = Object.entries(given).find(([, value]) => value !== undefined)?.[0];
  if (first !== undefined && !kvTier?.startsWith('rediss://')) {
    throw usage(first, 'needs --kv-tier with a rediss:// URL');
  }
  if (cert !== undefined && key === undefined) throw usage('--kv-tier-cert', 'needs --kv-tier-key');
  if (key !== undefined && cert === undefined) throw usage('--kv-tier-key', 'needs --kv-tier-cert');
  return {
    ...(ca !== undefined && { ca }),
    ...(cert !== undefined && { cert }),
    ...(key !== undefined && { key }),
  };
}

function usage(flag: string, problem: string): OctavoError {
  return new OctavoError('usage', `${flag}: ${problem}`, { param: flag });
}
