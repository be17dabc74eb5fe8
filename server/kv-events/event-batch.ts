import type { Encoder } from '@msgpack/msgpack';
import type { CacheEvent, StoredBlocks } from '../../kvcache/cache-events.js';
import type { CacheGroup } from '../../kvcache/cache-group.js';
import type { BlockHash } from '../../kvcache/ids.js';

/**
 * vLLM's names of what a group's layers keep (`KVCacheSpecKind`). Routers that index prefixes read
 * only full attention: the other groups do not hold every block of a prefix.
 */
const KINDS = {
  full: 'full_attention',
  'sliding-window': 'sliding_window',
  recurrent: 'mamba',
} as const satisfies Record<CacheGroup['kind'], string>;

/**
 * vLLM's name of the memory that attention reads, which its CPU backend reports, too. Readers rank
 * it first.
 */
const MEDIUM = 'GPU';

/** Octavo has one rank of data parallelism in a process. */
const RANK = 0;

/**
 * A batch in the format of vLLM 0.24 and later (`vllm/distributed/kv_events.py`): msgpack, the
 * batch as an array and each event as a map of its fields, of which those that have vLLM's default
 * are left out.
 *
 *     [seconds since 1970, [{ type: 'BlockStored', block_hashes: [...], ... }, ...], rank]
 */
export function encodeBatch(
  events: readonly CacheEvent[],
  seconds: number,
  encoder: Encoder,
): Uint8Array {
  return encoder.encode([seconds, events.map(wireEvent), RANK]);
}

function wireEvent(event: CacheEvent): Record<string, unknown> {
  switch (event.type) {
    case 'stored':
      return blockStored(event);
    case 'removed':
      return {
        type: 'BlockRemoved',
        block_hashes: event.hashes.map(wireHash),
        medium: MEDIUM,
        group_idx: event.group,
      };
    case 'cleared':
      return { type: 'AllBlocksCleared' };
  }
}

function blockStored(event: StoredBlocks): Record<string, unknown> {
  const { kind, hashes, parent, tokenIds, scope, group } = event;
  return {
    type: 'BlockStored',
    block_hashes: hashes.map(wireHash),
    parent_block_hash: parent === null ? null : wireHash(parent),
    token_ids: tokenIds,
    block_size: tokenIds.length / hashes.length,
    // A number that vLLM itself no longer reads: adapters are known by name.
    lora_id: null,
    medium: MEDIUM,
    lora_name: scope.adapter,
    extra_keys: hashes.map((_, i) => extraKeys(event, i)),
    group_idx: group,
    kv_cache_spec_kind: KINDS[kind.kind],
    ...(kind.kind === 'sliding-window' && { kv_cache_spec_sliding_window: kind.window }),
  };
}

/**
 * What distinguishes blocks with equal tokens: the adapter, contents that placeholder tokens stand
 * for, and in a sequence's first block its salt. Null when nothing does.
 */
function extraKeys(event: StoredBlocks, i: number): unknown[] | null {
  const { scope, contents, index, tokenIds, hashes } = event;
  const blockSize = tokenIds.length / hashes.length;
  const start = (index + i) * blockSize;
  const inside = contents.filter((c) => c.start < start + blockSize && c.end > start);
  const keys = [
    ...(scope.adapter === null ? [] : [scope.adapter]),
    ...inside.map((content) => [content.key, content.start - start]),
    ...(scope.cacheSalt === null || index + i > 0 ? [] : [scope.cacheSalt]),
  ];
  return keys.length > 0 ? keys : null;
}

/** The last 64 bits of the hash, which is what vLLM publishes of its own. */
function wireHash(hash: BlockHash): bigint {
  return Buffer.from(hash, 'base64').readBigUInt64BE(24);
}
