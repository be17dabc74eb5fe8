import { type BlockHash, type BlockId, TO_LOAD } from './ids.js';
import type { KvCacheManager } from './kv-cache-manager.js';
import { type CachedPrefix, type HasContent, hashAt } from './prefix-lookup.js';
import type { SequenceBlocks } from './sequence-blocks.js';

/**
 * A block's content in one group of layers: what a tier behind the pool keeps as one piece. Equal
 * hashes in different groups are different contents.
 */
export interface GroupContent {
  readonly group: number;
  readonly hash: BlockHash;
}

/** A content that must be in all pages of `block` before a step reads any. */
export interface BlockLoad extends GroupContent {
  readonly block: BlockId;
}

/** What is worth loading for a sequence. */
export interface LoadChoice {
  readonly contents: readonly GroupContent[];
  /** Tokens that need not be computed then, besides those that the pool has. */
  readonly numTokens: number;
}

/**
 * All contents of a sequence's beginning that the pool does not have, those of the first tokens
 * first: what tiers may be asked for.
 */
export function missingContents(
  { pool, groups, blockSize, enablePrefixCaching }: KvCacheManager,
  sequence: SequenceBlocks,
  tokens: readonly number[],
): GroupContent[] {
  const missing: GroupContent[] = [];
  if (!enablePrefixCaching) return missing;
  const most = Math.floor((tokens.length - 1) / blockSize);
  for (let index = 0; index < most; index++) {
    const hash = hashAt(sequence, tokens, index, blockSize);
    for (const group of groups.keys()) {
      if (pool.lookup(group, hash) === undefined) missing.push({ group, hash });
    }
  }
  return missing;
}

/** What lengthens a sequence's cached prefix, if tiers have these contents. */
export function contentsToLoad(
  cache: KvCacheManager,
  sequence: SequenceBlocks,
  tokens: readonly number[],
  inTier: HasContent,
): LoadChoice {
  const inPool = cache.findCachedPrefix(sequence, tokens)?.numTokens ?? 0;
  const prefix = cache.findCachedPrefix(sequence, tokens, inTier);
  if (!prefix) return { contents: [], numTokens: 0 };
  const contents = placesToLoad(prefix).map(({ group, index }) => ({
    group,
    hash: sequence.hashes[index],
  }));
  return { contents, numTokens: prefix.numTokens - inPool };
}

/** What must be loaded for a prefix, once the manager has reserved its blocks. */
export function loadsOf(sequence: SequenceBlocks, prefix: CachedPrefix): BlockLoad[] {
  return placesToLoad(prefix).map(({ group, index }) => ({
    group,
    hash: sequence.hashes[index],
    block: sequence.tables[group][index],
  }));
}

/** Tokens of a prefix that some group of layers takes from a tier. */
export function numTierTokens(prefix: CachedPrefix, blockSize: number): number {
  return new Set(placesToLoad(prefix).map(({ index }) => index)).size * blockSize;
}

function placesToLoad({ tables }: CachedPrefix): { group: number; index: number }[] {
  return tables.flatMap((table, group) =>
    table.flatMap((entry, index) => (entry === TO_LOAD ? [{ group, index }] : [])),
  );
}
