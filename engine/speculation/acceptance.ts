import { DRAFT_CLASSES, type DraftClass } from './drafter.js';

/** Trials that the common rates count for beside a sequence's own. */
const COMMON_WEIGHT = 4;
/** What is expected of drafts before any was tried. */
const INITIAL_RATES: Readonly<Record<DraftClass, number>> = { short: 0.4, medium: 0.5, long: 0.6 };

interface DepthCount {
  trials: number;
  hits: number;
}

/**
 * How often a draft's token at each depth is right when all before it are. Old observations count
 * less with each new one.
 */
export class AcceptanceRates {
  readonly #decay: number;
  readonly #common: AcceptanceRates | null;
  readonly #counts: Record<DraftClass, DepthCount[]>;

  /**
   * @param memory number of observations after which an old one counts for a third
   * @param common rates that stand for those without observations of their own, and learn with
   *   them; null: none
   */
  constructor(memory: number, common: AcceptanceRates | null = null) {
    this.#decay = 1 - 1 / memory;
    this.#common = common;
    this.#counts = Object.fromEntries(
      DRAFT_CLASSES.map((name): [DraftClass, DepthCount[]] => [name, []]),
    ) as Record<DraftClass, DepthCount[]>;
  }

  /** @param depth 0 for a draft's first token */
  observe(draftClass: DraftClass, depth: number, isRight: boolean): void {
    const count = this.#countAt(draftClass, depth);
    count.trials = count.trials * this.#decay + 1;
    count.hits = count.hits * this.#decay + (isRight ? 1 : 0);
    this.#common?.observe(draftClass, depth, isRight);
  }

  rate(draftClass: DraftClass, depth: number): number {
    const count = this.#counts[draftClass][depth];
    const expected = this.#common?.rate(draftClass, depth) ?? INITIAL_RATES[draftClass];
    const weight = this.#common ? COMMON_WEIGHT : 1;
    return ((count?.hits ?? 0) + weight * expected) / ((count?.trials ?? 0) + weight);
  }

  #countAt(draftClass: DraftClass, depth: number): DepthCount {
    const counts = this.#counts[draftClass];
    while (counts.length <= depth) counts.push({ trials: 0, hits: 0 });
    return counts[depth];
  }
}
