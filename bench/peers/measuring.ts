import type { ShapeName } from '../models/shapes.js';
import { LOADS, type LoadRecipe, makeLoad, quickly, valueOf, WARM_UP } from './loads.js';
import { Driver, type Load, type LoadOutcome } from './protocol.js';
import { type Footprint, Results } from './tables.js';
import type { Variant } from './variants.js';

export interface MeasuringOptions {
  readonly shape: ShapeName;
  /** Tokens that prompts are made of. */
  readonly vocab: number;
  /** Checkout whose compiled Octavo runs. */
  readonly root: string;
  /** Whether the warm-up is short. */
  readonly isQuick: boolean;
}

/** Runs variants, each in its own process, and keeps what they took. */
export class Measuring {
  readonly results = new Results();
  readonly footprints = new Map<string, Footprint[]>();
  readonly #options: MeasuringOptions;
  /** Numbers of sequences that were the best, by variant and load. */
  readonly #bestSequences = new Map<string, number>();

  constructor(options: MeasuringOptions) {
    this.#options = options;
  }

  async run(variant: Variant, loads: readonly LoadRecipe[], round: number): Promise<void> {
    const { shape, vocab, root, isQuick } = this.#options;
    const driver = await Driver.start(variant.driver, await variant.prepare(shape, root));
    try {
      await driver.run(makeLoad(isQuick ? quickly(WARM_UP) : WARM_UP, vocab, 0, 1));
      const most = variant.mostClients ?? Number.POSITIVE_INFINITY;
      for (const recipe of loads) {
        const isPossible = recipe.isCached !== true || variant.keepsPrefixes;
        if (!isPossible || recipe.concurrency > most) continue;
        await this.#measure(driver, variant, recipe, round);
      }
      const { readyMs } = driver;
      const own = this.footprints.get(variant.name) ?? [];
      this.footprints.set(variant.name, [...own, { readyMs, peakBytes: driver.peakBytes() }]);
    } finally {
      await driver.stop();
    }
  }

  /** Runs a load; in the first round with each number of sequences that is to be tried. */
  async #measure(
    driver: Driver,
    variant: Variant,
    recipe: LoadRecipe,
    round: number,
  ): Promise<void> {
    const key = `${variant.name}/${recipe.name}`;
    const known = this.#bestSequences.get(key);
    const standard = [recipe.concurrency];
    const tried = variant.driver === 'llama' ? (recipe.sequences ?? standard) : standard;
    let best: { load: Load; outcome: LoadOutcome; score: number } | null = null;
    for (const sequences of known === undefined ? tried : [known]) {
      const load = makeLoad(
        recipe,
        this.#options.vocab,
        1 + LOADS.findIndex(({ name }) => name === recipe.name) + 100 * round,
        sequences,
      );
      if (recipe.isCached === true) await driver.run(oneOf(load));
      const outcome = await driver.run(load);
      const [metric] = recipe.metrics;
      const value = valueOf(metric, load, outcome);
      const score = value === null ? -Infinity : value * (metric === 'ttft' ? -1 : 1);
      if (best === null || score > best.score) best = { load, outcome, score };
    }
    if (best === null) throw new Error(`${key}: nothing to run`);
    this.#bestSequences.set(key, best.load.sequences);
    const shown: string[] = [];
    for (const metric of recipe.metrics) {
      const value = valueOf(metric, best.load, best.outcome);
      if (value !== null) this.results.add(recipe.name, metric, variant.name, value);
      shown.push(`${metric} ${value?.toPrecision(4) ?? '-'}`);
    }
    process.stderr.write(
      `round ${round + 1}  ${variant.name}  ${recipe.name}: ${shown.join(', ')}\n`,
    );
  }
}

/** The first client alone, with another end of its prompt. */
function oneOf(load: Load): Load {
  const [[{ prompt, maxTokens }]] = load.conversations;
  const conversations = [[{ prompt: [...prompt.slice(0, -8), ...prompt.slice(0, 8)], maxTokens }]];
  return { ...load, concurrency: 1, conversations };
}
