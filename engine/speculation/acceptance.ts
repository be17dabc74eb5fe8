import { DRAFT_CLASSES, type DraftClass } from './drafter.js';

/**
 * Trials that the common rates count for beside a sequence's own. How often a model's drafts are
 * right depends less on the sequence.
 */
const COMMON_WEIGHT: Readonly<Record<DraftClass, number>> = {
  short: 4,
  medium: 4,
  long: 4,
  computed: 12,
};
/** What is expected of drafts before any was tried. */
const INITIAL_RATES: Readonly<Record<DraftClass, number>> = {
  short: 0.4,
  medium: 0.5,
  long: 0.6,
  computed: 0.8,
};

/** Calls of `fade` after which an observation counts for a third. */
const FADE_STEPS = 128;

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

  /** Lets old observations count less, as time passes without any; those in common stay. */
  fade(): void {
    for (const name of DRAFT_CLASSES) {
      for (const count of this.#counts[name]) {
        count.trials *= 1 - 1 / FADE_STEPS;
        count.hits *= 1 - 1 / FADE_STEPS;
      }
    }
  }

  rate(draftClass: DraftClass, depth: number): number {
    const count = this.#counts[draftClass][depth];
    const expected = this.#common?.rate(draftClass, depth) ?? INITIAL_RATES[draftClass];
    const weight = this.#common ? COMMON_WEIGHT[draftClass] : 1;
    return ((count?.hits ?? 0) + weight * expected) / ((count?.trials ?? 0) + weight);
  }

  #countAt(draftClass: DraftClass, depth: number): DepthCount {
    const counts = this.#counts[draftClass];
    while (counts.length <= depth) counts.push({ trials: 0, hits: 0 });
    return counts[depth];
  }
}
