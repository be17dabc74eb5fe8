import type { BlockHash } from '../ids.js';
import type { SequenceBlocks } from '../sequence-blocks.js';
import type { ReusePredictor } from './predicted.js';
import { ShadowTuner } from './shadow-cache.js';

/** Places in a sequence that are told apart: by eighths of its length. */
const PARTS = 8;
/** Kinds of content: each part, seen before or not. */
const KINDS = 2 * PARTS;
/** Groups that are remembered, those that were used last. */
const MOST_GROUPS = 1024;
/** With fewer outcomes, the group says nothing of its own. */
const ENOUGH = 16;
/** Outcomes that a count remembers; beyond, both sides are halved. */
const MEMORY = 256;
/** As many contents as the pool has blocks so often are watched. */
const WINDOWS = 4;
/** What comes back less often is discarded; with 0, nothing is: LRU. */
const THRESHOLDS = [0, 0.15, 0.4, 0.65, 0.9];
const FIRST_THRESHOLD = 1;

/** How often contents came back, `[kind]`, and how often they did not. */
class Outcomes {
  readonly returned = new Float64Array(KINDS);
  readonly lost = new Float64Array(KINDS);

  count(kind: number, isReturned: boolean): void {
    (isReturned ? this.returned : this.lost)[kind] += 1;
    if (this.returned[kind] + this.lost[kind] < MEMORY) return;
    this.returned[kind] /= 2;
    this.lost[kind] /= 2;
  }

  /** Share that came back; null when too few are known. */
  share(kind: number): number | null {
    const total = this.returned[kind] + this.lost[kind];
    return total < ENOUGH ? null : this.returned[kind] / total;
  }
}

/** A content that was given back, and who gave it back. */
interface Watched {
  readonly hash: BlockHash;
  readonly groups: readonly Outcomes[];
  readonly kind: number;
}

/**
 * Learns which contents come back. Each content that is given back is watched until it is given
 * back again, or until as many others as the pool holds a few times were: then it is lost. The
 * outcomes are counted by groups of requests (those with the same `prompt_cache_key`, those with
 * the same first block, all), by the place in the sequence and by whether the content had come back
 * before. Of the groups that know enough, the narrowest one decides.
 */
export class LearnedReuse implements ReusePredictor {
  readonly #window: number;
  readonly #tuner: ShadowTuner;
  #time = 0;
  readonly #watched = new Map<BlockHash, Watched>();
  /**
   * In the order in which they were given back; those that were given back again since are there
   * twice.
   */
  #order: Watched[] = [];
  /** Index in `order` of the first one that may still be watched. */
  #oldest = 0;
  readonly #all = new Outcomes();
  readonly #groups = new Map<string, Outcomes>();

  /** @param numBlocks of the pool */
  constructor(numBlocks: number) {
    this.#window = WINDOWS * numBlocks;
    this.#tuner = new ShadowTuner(numBlocks, THRESHOLDS.length, FIRST_THRESHOLD);
  }

  /** Of requests, by key or first block. */
  get numGroups(): number {
    return this.#groups.size;
  }

  predict(sequence: SequenceBlocks, returns: boolean): Uint8Array {
    const { hashes, numCommitted, reuse } = sequence;
    const bits = new Uint8Array(numCommitted);
    if (numCommitted === 0) return bits;
    const groups = [this.#all, this.#group(`block ${hashes[0]}`)];
    if (reuse.key !== null) groups.push(this.#group(`key ${reuse.key}`));
    this.#time += 1;
    for (let index = numCommitted - 1; index >= 0; index--) {
      const hash = hashes[index];
      const before = this.#watched.get(hash);
      if (before) this.#end(before, true);
      const part = Math.floor((index * PARTS) / numCommitted);
      const kind = before ? PARTS + part : part;
      const watched = { hash, groups, kind };
      this.#watched.set(hash, watched);
      this.#order.push(watched);
      const share = returns || reuse.isRetained ? 1 : shareOf(groups, kind);
      // As the policy: what is discarded goes newest first, what is kept goes oldest first.
      const rankOf = (setting: number): number =>
        share < THRESHOLDS[setting] ? -this.#time : this.#time;
      this.#tuner.access(hash, rankOf, 1);
      bits[index] = Number(share >= THRESHOLDS[this.#tuner.chosen]);
    }
    this.#forgetOld();
    return bits;
  }

  /** O(1) for each content, over time. */
  #forgetOld(): void {
    while (this.#watched.size > this.#window) {
      const watched = this.#order[this.#oldest++];
      if (this.#watched.get(watched.hash) === watched) this.#end(watched, false);
    }
    if (this.#order.length < 2 * this.#watched.size + MEMORY) return;
    this.#order = this.#order
      .slice(this.#oldest)
      .filter((watched) => this.#watched.get(watched.hash) === watched);
    this.#oldest = 0;
  }

  #end({ hash, groups, kind }: Watched, isReturned: boolean): void {
    this.#watched.delete(hash);
    for (const group of groups) group.count(kind, isReturned);
  }

  #group(name: string): Outcomes {
    const group = this.#groups.get(name) ?? new Outcomes();
    this.#groups.delete(name);
    this.#groups.set(name, group);
    for (const oldest of this.#groups.keys()) {
      if (this.#groups.size <= MOST_GROUPS) break;
      this.#groups.delete(oldest);
    }
    return group;
  }
}

/**
 * Of contents of this kind, what share comes back, as the narrowest group knows that knows enough;
 * 1 when none does.
 */
function shareOf(groups: readonly Outcomes[], kind: number): number {
  for (let i = groups.length - 1; i >= 0; i--) {
    const share = groups[i].share(kind);
    if (share !== null) return share;
  }
  return 1;
}
