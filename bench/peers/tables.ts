import type { Cell } from '../lib/report.js';
import { type LoadRecipe, type Metric, median } from './loads.js';
import type { Family, Variant } from './variants.js';

/** Values of all rounds, by load, metric and variant. */
export class Results {
  readonly #values = new Map<string, number[]>();

  add(load: string, metric: Metric, variant: string, value: number): void {
    const key = `${load}/${metric}/${variant}`;
    this.#values.set(key, [...(this.#values.get(key) ?? []), value]);
  }

  median(load: string, metric: Metric, variant: string): number | null {
    const values = this.#values.get(`${load}/${metric}/${variant}`);
    return values === undefined ? null : median(values);
  }

  /** For the JSON file: every single value. */
  toJSON(): object {
    return Object.fromEntries(this.#values);
  }
}

type Peer = Exclude<Family, 'octavo'>;

export interface Target {
  readonly title: string;
  readonly load: string;
  readonly metric: Metric;
  readonly against: Readonly<Partial<Record<Peer, number>>>;
}

export const TARGETS: readonly Target[] = [
  targetOf('decode, concurrency 1', '1 x 512', 'decode', 0.9, 1.2),
  targetOf('decode, concurrency 8, 512-token contexts', '8 x 512', 'decode', 2.2, 4),
  targetOf('decode, concurrency 32, 512-token contexts', '32 x 512', 'decode', 3.5, 8),
  targetOf('prefill, 512 tokens', '1 x 512', 'prefill', 1.6, 3),
  targetOf(
    'TTFT, 32 clients sharing 1,024 tokens',
    '32 clients, shared prefix of 1,024',
    'ttft',
    5,
    20,
  ),
];

/** Of the same GGUF file in both: the 4 bits of its weights are the same numbers. */
export const GGUF_TARGETS: readonly Target[] = [
  ggufTarget('decode, concurrency 1', '1 x 512', 0.95),
  ggufTarget('decode, concurrency 8, 512-token contexts', '8 x 512', 2.2),
  ggufTarget('decode, concurrency 32, 512-token contexts', '32 x 512', 3),
];

function ggufTarget(title: string, load: string, ratio: number): Target {
  return { title, load, metric: 'decode', against: { 'node-llama-cpp': ratio } };
}

function targetOf(
  title: string,
  load: string,
  metric: Metric,
  llama: number,
  transformers: number,
): Target {
  return {
    title,
    load,
    metric,
    against: { 'node-llama-cpp': llama, 'transformers.js': transformers },
  };
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
    targets.some((target) => bestOf(results, variants, family, target)?.name === name),
  );
}

/** Best of each family, and Octavo's factor beside the target. */
export function ratioRows(
  results: Results,
  variants: readonly Variant[],
  targets: readonly Target[],
): Cell[][] {
  return targets.map((target) => {
    const { title, metric, against } = target;
    const best = (family: Family): Best | null => bestOf(results, variants, family, target);
    const ours = best('octavo');
    const cells = (Object.entries(against) as [Peer, number][]).flatMap(
      ([family, wanted]): Cell[] => {
        const theirs = best(family);
        if (ours === null || theirs === null) return ['not run', '', ''];
        const ratio = metric === 'ttft' ? theirs.value / ours.value : ours.value / theirs.value;
        const verdict =
          ratio >= wanted ? 'reached' : `missed by ${Math.round(100 * (1 - ratio / wanted))} %`;
        return [show(theirs), `${Number(ratio.toPrecision(3))}`, `>= ${wanted}: ${verdict}`];
      },
    );
    return [`${title} (${UNITS[metric]})`, ours === null ? 'not run' : show(ours), ...cells];
  });
}

function show({ name, value }: { name: string; value: number }): string {
  return `${Number(value.toPrecision(3))} (${name.split(' ').at(-1) ?? ''})`;
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
