import { Type } from 'typebox';
import { EVICTION_POLICIES } from '../kvcache/eviction/create-eviction.js';
import { KV_DTYPES } from './attention/paged-attention.js';
import { defaultKvCacheBytes } from './environment/available-memory.js';
import { extra, size } from './setting-schema.js';

/** Settings of the KV cache and of the tiers behind it. */
export const CACHE_SETTINGS = {
  kvCacheMemory: size(
    {
      description:
        'memory of the KV cache: 2GiB, 512MiB or bytes (default: a quarter of the memory that there is, 1GiB at most)',
      group: 'KV cache',
      scope: 'engine',
    },
    defaultKvCacheBytes(),
  ),
  kvDtype: Type.Optional(
    Type.Enum([...KV_DTYPES], {
      ...extra({
        description: 'number format of the KV cache (default: f32; a GPU has f16 and no other)',
        group: 'KV cache',
        scope: 'engine',
        value: 'dtype',
      }),
    }),
  ),
  blockSize: Type.Optional(
    Type.Integer({
      ...extra({
        description: 'tokens in one block of the KV cache (default: 16; on a GPU 32)',
        group: 'KV cache',
        scope: 'engine',
      }),
      minimum: 4,
      maximum: 256,
    }),
  ),
  enablePrefixCaching: Type.Boolean({
    ...extra({
      description: 'computes every prompt whole, without the cached blocks of others',
      group: 'KV cache',
      scope: 'server',
    }),
    default: true,
  }),
  evictionPolicy: Type.Optional(
    Type.Enum([...EVICTION_POLICIES], {
      ...extra({
        description:
          'which cached prefixes are given up first when blocks are needed (default: predicted; for models with recurrent layers cost-aware)',
        group: 'KV cache',
        scope: 'server',
        value: 'policy',
      }),
    }),
  ),
  kvHostMemory: Type.Optional(
    size({
      description:
        'memory for cached prefixes that have left the KV cache: 8GiB, or bytes (default: none)',
      group: 'KV cache',
      scope: 'server',
    }),
  ),
  kvCacheDir: Type.Optional(
    Type.String({
      ...extra({
        description:
          'directory for cached prefixes that have left memory; they outlive the server (default: none)',
        group: 'KV cache',
        scope: 'server',
        value: 'dir',
      }),
      minLength: 1,
    }),
  ),
  kvCacheDisk: Type.Optional(
    size({
      description: 'size of the files in --kv-cache-dir, at most (default: 16GiB)',
      group: 'KV cache',
      scope: 'server',
    }),
  ),
  kvTier: Type.Optional(
    Type.String({
      ...extra({
        description:
          'Redis or Valkey for cached prefixes that were asked for twice, which servers share (default: none)',
        group: 'KV cache',
        scope: 'server',
        value: 'url',
        allowed: 'a redis:// or rediss:// URL',
      }),
      pattern: '^rediss?://[^/\\s]+',
    }),
  ),
  kvTierMemory: Type.Optional(
    size({
      description: "memory of this model's prefixes in --kv-tier, at most (default: 4GiB)",
      group: 'KV cache',
      scope: 'server',
    }),
  ),
  kvTierTtl: Type.Integer({
    ...extra({
      description: 'seconds after its last use that a prefix stays in --kv-tier',
      group: 'KV cache',
      scope: 'server',
    }),
    minimum: 1,
    maximum: 31_536_000,
    default: 86_400,
  }),
  kvTierPrefix: Type.String({
    ...extra({
      description: 'first part of the keys in --kv-tier',
      group: 'KV cache',
      scope: 'server',
      value: 'name',
      allowed: 'letters, digits, :, _, . and -',
    }),
    pattern: '^[A-Za-z0-9:_.-]+$',
    default: 'octavo:kv',
  }),
  kvTierCa: pemFile(
    'certificates (PEM) of the authority that has signed that of --kv-tier (default: those that Node.js trusts)',
  ),
  kvTierCert: pemFile(
    'certificate (PEM) of this server, for a --kv-tier that wants one (default: none)',
  ),
  kvTierKey: pemFile('key (PEM) of --kv-tier-cert (default: none)'),
};

function pemFile(description: string) {
  return Type.Optional(
    Type.String({
      ...extra({ description, group: 'KV cache', scope: 'server', value: 'file' }),
      minLength: 1,
    }),
  );
}
