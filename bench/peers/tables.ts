import type { Cell } from '../lib/report.js';
import { type LoadRecipe, type Metric, median } from './loads.js';
import type { Target } from './targets.js';
import { FAMILIES, type Family, type Variant } from './variants.js';

/** Values of all rounds, by load, metric and variant. */
export class Results {
  readonly #values: Map<string, number[]>;

  /** @param values what `toJSON` gave */
  constructor(values: Readonly<Record<string, readonly number[]>> = {}) {
    this.#values = new Map(Object.entries(values).map(([key, list]) => [key, [...list]]));
  }

  add(load: string, metric: Metric, variant: string, value: number): void {
    const key = `${load}/${metric}/${variant}`;
    this.#values.set(key, [...(this.#values.get(key) ?? []), value]);
  }

  median(load: string, metric: Metric, variant: string): number | null {
    const values = this.#values.get(`${load}/${metric}/${variant}`);
    return values === undefined ? null : median(values);
  }

  /** For the JSON file: every single value. */
  toJSON(): Record<string, number[]> {
    return Object.fromEntries(this.#values);
  }
}

const UNITS: Readonly<Record<Metric, string>> = {
  decode: 'tokens/s',
  prefill: 'tokens/s',
  ttft: 'ms',
};

interface Best {
  readonly name: string;
  readonly value: number;
}

function bestOf(
  results: Results,
  variants: readonly Variant[],
  family: Family,
  { load, metric }: Pick<Target, 'load' | 'metric'>,
): Best | null {
  const known = variants
    .filter((variant) => variant.family === family)
    .map(({ name }) => ({ name, value: results.median(load, metric, name) }))
    .filter((one): one is Best => one.value !== null);
  known.sort((a, b) => (metric === 'ttft' ? a.value - b.value : b.value - a.value));
  return known[0] ?? null;
}

/** The variants that the table of ratios names. */
export function bestOfFamilies(
  results: Results,
  variants: readonly Variant[],
  targets: readonly Target[],
): readonly Variant[] {
  return variants.filter(({ name, family }) =>
    targets.some(
      (target) =>
        (family === target.ours || target.against[family] !== undefined) &&
        bestOf(results, variants, family, target)?.name === name,
    ),
  );
}

/** The columns of `ratioRows`. */
export const RATIO_COLUMNS = ['load', 'Octavo', 'peer', '', 'ratio', 'target'] as const;

/** Octavo's factor beside each peer's best, a row for each. */
export function ratioRows(
  results: Results,
  variants: readonly Variant[],
  targets: readonly Target[],
): Cell[][] {
  return targets.flatMap((target) => {
    const { title, metric, ours, against } = target;
    const own = bestOf(results, variants, ours, target);
    return FAMILIES.flatMap((family): Cell[][] => {
      const wanted = against[family];
      if (wanted === undefined) return [];
      const least = wanted === null ? '' : `>= ${wanted}`;
      const theirs = bestOf(results, variants, family, target);
      const begin = [`${title} (${UNITS[metric]})`, own === null ? 'not run' : show(own), family];
      if (own === null || theirs === null) return [[...begin, 'not run', '', least]];
      const ratio = metric === 'ttft' ? theirs.value / own.value : own.value / theirs.value;
      const verdict = wanted === null ? '' : `${least}: ${verdictOf(ratio, wanted)}`;
      return [[...begin, show(theirs), `${Number(ratio.toPrecision(3))}`, verdict]];
    });
  });
}

function verdictOf(ratio: number, wanted: number): string {
  return ratio >= wanted ? 'reached' : `missed by ${Math.round(100 * (1 - ratio / wanted))} %`;
}

function show({ name, value }: { name: string; value: number }): string {
  return `${Number(value.toPrecision(3))} (${name})`;
}

export function allRows(
  results: Results,
  loads: readonly LoadRecipe[],
  variants: readonly Variant[],
): Cell[][] {
  return loads.flatMap(({ name, metrics }) =>
    metrics.map((metric) => [
      name,
      `${metric}, ${UNITS[metric]}`,
      ...variants.map((variant) => results.median(name, metric, variant.name) ?? '-'),
    ]),
  );
}

/** What a process took: its memory, and the time until it took requests. */
export interface Footprint {
  readonly readyMs: number;
  readonly peakBytes: number | null;
}

/** Medians over the processes of each variant. */
export function footprintRows(
  footprints: ReadonlyMap<string, readonly Footprint[]>,
  variants: readonly Variant[],
): Cell[][] {
  return variants.flatMap(({ name }) => {
    const own = footprints.get(name) ?? [];
    if (own.length === 0) return [];
    const peaks = own.flatMap(({ peakBytes }) => (peakBytes === null ? [] : [peakBytes]));
    const ready = median(own.map(({ readyMs }) => readyMs));
    return [[name, ready / 1000, peaks.length === 0 ? '-' : median(peaks) / 1e9]];
  });
}
