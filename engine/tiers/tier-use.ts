import type { TierState, TierStats } from '../protocol/reports.js';
import type { BlockTier } from './block-tier.js';
import type { WriteBehind } from './write-behind.js';

interface Use {
  asked: number;
  found: number;
  loads: number;
  loadMs: number;
}

/** What sequences ask of each tier, and how long they wait for it: what no tier knows itself. */
export class TierUse {
  readonly #uses = new Map<BlockTier, Use>();

  /** A tier was asked for contents, and has some of them. */
  asked(tier: BlockTier, asked: number, found: number): void {
    const use = this.#of(tier);
    use.asked += asked;
    use.found += found;
  }

  /** Contents have arrived for one sequence, or for one step. */
  loaded(tier: BlockTier, ms: number): void {
    const use = this.#of(tier);
    use.loads += 1;
    use.loadMs += ms;
  }

  /** All figures of a tier. @param writes to it and others */
  stats(tier: BlockTier, writes: WriteBehind): TierStats {
    const state: TierState = tier.stats;
    return { ...state, ...this.#of(tier), queued: writes.queued(tier) };
  }

  #of(tier: BlockTier): Use {
    const known = this.#uses.get(tier);
    if (known) return known;
    const use = { asked: 0, found: 0, loads: 0, loadMs: 0 };
    this.#uses.set(tier, use);
    return use;
  }
}
