import { hash } from 'node:crypto';
import type { BlockHash } from './ids.js';

/** What two sequences must have in common, besides their tokens, to share blocks. */
export interface CacheScope {
  /** Identifies weights and page format: K and V of another model are never a hit. */
  readonly modelFingerprint: string;
  /** Content of the adapter that computed K and V; null: the model alone. */
  readonly adapter: string | null;
  /** A tenant's secret: only sequences with the same salt hit each other's blocks. */
  readonly cacheSalt: string | null;
  /**
   * For models that compute K and V differently by a sequence's length: the class of its length.
   * Else 0.
   */
  readonly lengthClass: number;
}

/**
 * Content that some tokens stand for, such as an image's: the ids of its placeholder tokens are the
 * same for every image, so the content's own hash must enter the hashes of the blocks that hold
 * them.
 */
export interface ContentKey {
  /** Tokens `start` to `end - 1` of the sequence stand for the content. */
  readonly start: number;
  readonly end: number;
  /** Hash of the content. */
  readonly key: string;
}

/**
 * The parent of every first block. The scope enters here once, and reaches all later blocks through
 * the chain. Encoded as JSON, so that no two scopes have the same encoding, whatever their strings
 * contain.
 */
export function rootHash(scope: CacheScope): BlockHash {
  const keys = [scope.modelFingerprint, scope.adapter, scope.cacheSalt, scope.lengthClass];
  return hash('sha256', JSON.stringify(keys), 'base64') as BlockHash;
}

/**
 * SHA-256(parent, token ids as uint32, contents): the identity of a full block's content *and* of
 * all that precedes it. A cryptographic hash, because a collision would answer one user with
 * another's context.
 *
 * @param contents contents of the whole sequence; those that overlap the block are hashed, with
 *   their place relative to it
 */
export function blockHash(
  parent: BlockHash,
  tokens: readonly number[],
  start: number,
  end: number,
  contents: readonly ContentKey[] = [],
): BlockHash {
  const keys = contents
    .filter((content) => content.start < end && content.end > start)
    .map((content) => [content.start - start, content.end - start, content.key]);
  // The tokens have a fixed size, so the keys after them cannot be mistaken for tokens.
  const suffix = keys.length > 0 ? Buffer.from(JSON.stringify(keys)) : null;
  const parentBytes = 32;
  const input = Buffer.allocUnsafe(parentBytes + (end - start) * 4 + (suffix?.length ?? 0));
  input.write(parent, 0, 'base64');
  for (let i = start; i < end; i++) {
    input.writeUInt32LE(tokens[i], parentBytes + (i - start) * 4);
  }
  suffix?.copy(input, parentBytes + (end - start) * 4);
  return hash('sha256', input, 'base64') as BlockHash;
}
