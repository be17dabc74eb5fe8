import { hash } from 'node:crypto';
import type { BlockHash } from './ids.js';

/** What two requests must share, beside their tokens, to share blocks. */
export interface CacheScope {
  /** Identifies weights and page format: K and V of another model are never a hit. */
  readonly modelFingerprint: string;
  /** A tenant's secret: only requests with the same salt hit each other's blocks. */
  readonly cacheSalt: string | null;
  /** Which of a model's ways to compute a sequence, where that depends on its length: K and V differ; 0 where it does not. */
  readonly lengthClass: number;
}

/**
 * The parent of every first block. The extra keys enter here once, and reach all later blocks through the chain.
 * Encoded as JSON, so that no two scopes run together whatever their strings hold.
 */
export function rootHash(scope: CacheScope): BlockHash {
  const keys = [scope.modelFingerprint, scope.cacheSalt, scope.lengthClass];
  return hash('sha256', JSON.stringify(keys), 'base64') as BlockHash;
}

/**
 * SHA-256(parent, token ids as uint32): the identity of a full block's content *and* of all that precedes it.
 * A cryptographic hash, because a collision would answer one user with another's context.
 */
export function blockHash(
  parent: BlockHash,
  tokens: readonly number[],
  start: number,
  end: number,
): BlockHash {
  const parentBytes = 32;
  const input = Buffer.allocUnsafe(parentBytes + (end - start) * 4);
  input.write(parent, 0, 'base64');
  for (let i = start; i < end; i++) {
    input.writeUInt32LE(tokens[i], parentBytes + (i - start) * 4);
  }
  return hash('sha256', input, 'base64') as BlockHash;
}
