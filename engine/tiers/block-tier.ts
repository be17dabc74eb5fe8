import type { BlockHash, Branded } from '../../kvcache/ids.js';
import type { TierState } from '../protocol/reports.js';

/** A content in one group of layers, as a tier names it. */
export type BlockKey = Branded<string, 'BlockKey'>;

export function blockKey(group: number, hash: BlockHash): BlockKey {
  return `${group}:${hash}` as BlockKey;
}

/** Near tiers answer at once, far ones later. */
export type Soon<T> = T | Promise<T>;

/** What has happened to a content: a sequence has asked for it, or has generated it. */
export type Mark = 'asked' | 'generated';

/**
 * What servers that share a tier tell each other about contents. A mark lasts for a while, and may
 * be taken for another content's, so it only ever says what is worth keeping. Failures are answers
 * without marks: nothing rejects.
 */
export interface SharedMarks {
  /** Gives contents a mark. @returns which had it before, by any server */
  mark(mark: Mark, hashes: readonly BlockHash[]): Promise<readonly boolean[]>;
  /** @returns which have a mark */
  marked(mark: Mark, hashes: readonly BlockHash[]): Promise<readonly boolean[]>;
}

/**
 * A place for contents that have left the pages of the KV cache. All contents have the same size,
 * `bytesPerBlock`. A tier may lose a content at any time, and never gives another one for it: what
 * is truncated, damaged, or made by another model or format is a miss. Failures are misses, too:
 * nothing here throws or rejects.
 *
 * Implementations: host memory, files, Redis; `test/conformance/block-tier.ts` holds them to this.
 */
export interface BlockTier {
  readonly stats: TierState;
  /** Only where several servers share the tier. */
  readonly marks?: SharedMarks;
  /** Whether it has the contents, one answer a key; true is no promise that `load` succeeds. */
  has(keys: readonly BlockKey[]): Soon<readonly boolean[]>;
  /**
   * Copies contents.
   *
   * @param into `[bytesPerBlock]` for each key; undefined where the answer is false. The tier may
   *   write it until the answer is there
   * @returns which contents were copied, whole and unharmed
   */
  load(keys: readonly BlockKey[], into: readonly Uint8Array[]): Soon<readonly boolean[]>;
  /**
   * Keeps contents, as far as there is room and time; those that it has already are not written
   * again.
   *
   * @param from `[bytesPerBlock]` for each key; must not change until the answer is there
   * @returns which contents it has now
   */
  store(keys: readonly BlockKey[], from: readonly Uint8Array[]): Soon<readonly boolean[]>;
  /**
   * Forgets all contents of this model and format, but those that are in use.
   *
   * @returns whether it has; false when what holds them does not answer
   */
  clear(): Soon<boolean>;
  /** Idempotent; nothing may be called after it. */
  close(): Soon<void>;
}
