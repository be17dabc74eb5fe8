import type { ContentKey } from './block-hash.js';
import type { CacheGroup } from './cache-group.js';
import type { BlockHash } from './ids.js';

/** What tells readers of events which requests may hit the blocks. */
export interface EventScope {
  /** Name of the adapter that computed K and V; null: the model alone. */
  readonly adapter: string | null;
  readonly cacheSalt: string | null;
}

/** Consecutive full blocks of one sequence, which lookups find from now on. */
export interface StoredBlocks {
  readonly type: 'stored';
  readonly group: number;
  readonly kind: CacheGroup;
  /** Index of the first block in its sequence, 0 for the first tokens. */
  readonly index: number;
  /** Hash of the block before the first one; null when there is none. */
  readonly parent: BlockHash | null;
  /** Each is the parent of the next. */
  readonly hashes: readonly BlockHash[];
  /** `[hashes.length * blockSize]` */
  readonly tokenIds: readonly number[];
  readonly scope: EventScope;
  /** Contents that the sequence's placeholder tokens stand for. */
  readonly contents: readonly ContentKey[];
}

/**
 * A change of what lookups find. Hashes are the same in all processes with the same model and page
 * format, because they depend on tokens and scope alone. Plain data: it crosses a thread boundary.
 */
export type CacheEvent =
  | StoredBlocks
  | { readonly type: 'removed'; readonly group: number; readonly hashes: readonly BlockHash[] }
  /** All blocks of all groups. */
  | { readonly type: 'cleared' };

/** What an event says of the sequence whose block is stored. */
interface StoringSequence {
  /** Hashes of its leading full blocks, at least up to the stored one. */
  readonly hashes: readonly BlockHash[];
  readonly scope: EventScope;
  readonly contents: readonly ContentKey[];
}

interface Run {
  readonly sequence: StoringSequence;
  readonly hashes: BlockHash[];
  readonly tokenIds: number[];
  /** Index of the block that would continue it. */
  next: number;
}

/**
 * The changes of a cache since they were last taken, in order. The owner takes them after each
 * step, so there are never more than one step makes. Blocks that follow each other make one event:
 *
 *     stored 0, 1, 2 of a sequence | removed a, b | stored 3        three events
 */
export class CacheEventLog {
  readonly #blockSize: number;
  readonly #groups: readonly CacheGroup[];
  #events: CacheEvent[] = [];
  /** By group: the stored blocks that the next one may continue. Closed by every removal. */
  readonly #runs = new Map<number, Run>();
  /** The removed blocks that the next one joins. */
  #removals: { readonly group: number; readonly hashes: BlockHash[] } | null = null;

  constructor(blockSize: number, groups: readonly CacheGroup[]) {
    this.#blockSize = blockSize;
    this.#groups = groups;
  }

  /**
   * @param index of the block in the sequence
   * @param tokens of the sequence, at least up to the block's end
   */
  stored(group: number, index: number, sequence: StoringSequence, tokens: readonly number[]): void {
    let run = this.#runs.get(group);
    if (run?.sequence !== sequence || run.next !== index) {
      run = { sequence, hashes: [], tokenIds: [], next: index };
      this.#runs.set(group, run);
      const { hashes, tokenIds } = run;
      const { scope, contents } = sequence;
      const parent = sequence.hashes[index - 1] ?? null;
      const kind = this.#groups[group];
      const event = { group, kind, index, parent, hashes, tokenIds, scope, contents };
      this.#events.push({ type: 'stored', ...event });
    }
    run.next += 1;
    run.hashes.push(sequence.hashes[index]);
    const start = index * this.#blockSize;
    for (let i = start; i < start + this.#blockSize; i++) run.tokenIds.push(tokens[i]);
    this.#removals = null;
  }

  removed(group: number, hash: BlockHash): void {
    if (this.#removals?.group !== group) {
      this.#removals = { group, hashes: [] };
      this.#events.push({ type: 'removed', ...this.#removals });
    }
    this.#removals.hashes.push(hash);
    this.#runs.clear();
  }

  cleared(): void {
    this.#runs.clear();
    this.#removals = null;
    this.#events.push({ type: 'cleared' });
  }

  /** Events since the last call; null when there are none. */
  take(): readonly CacheEvent[] | null {
    if (this.#events.length === 0) return null;
    const events = this.#events;
    this.#events = [];
    this.#runs.clear();
    this.#removals = null;
    return events;
  }
}
