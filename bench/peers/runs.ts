import { existsSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { Cell, Report } from '../lib/report.js';
import type { LoadRecipe } from './loads.js';
import {
  allRows,
  type Footprint,
  footprintRows,
  RATIO_COLUMNS,
  Results,
  ratioRows,
} from './tables.js';
import { COMPARISONS, type Target, targetsOf } from './targets.js';
import type { Family, Variant } from './variants.js';

/** What one command has measured; its ratios are of figures that were taken in turn. */
export interface Run {
  readonly command: string;
  readonly commit: string;
  readonly date: string;
  /** How often it ran, and what it had to leave out. */
  readonly notes: string;
  /** Whose ratios it gives. */
  readonly families: readonly Family[];
  /** Names of variants, in their order. */
  readonly variants: readonly string[];
  readonly results: Readonly<Record<string, readonly number[]>>;
  readonly footprints: Readonly<Record<string, readonly Footprint[]>>;
}

/** A run replaces earlier ones where they tell of the same families. */
export function mergeRuns(earlier: readonly Run[], run: Run): Run[] {
  const rest = earlier.map((one) => ({
    ...one,
    families: one.families.filter((family) => !run.families.includes(family)),
  }));
  return [...rest.filter(({ families }) => families.length > 0), run];
}

/** The runs of a report that was published; none of a report of an older form. */
export function readRuns(name: string): Run[] {
  const file = fileURLToPath(new URL(`../results/${name}.json`, import.meta.url));
  if (!existsSync(file)) return [];
  const { raw } = JSON.parse(readFileSync(file, 'utf8')) as { raw?: { runs?: Run[] } };
  return raw?.runs ?? [];
}

/**
 * The tables of a report. With several runs, each row and table says of which one it is.
 *
 * @param variants all that there are
 * @param loads that were wanted
 */
export function tablesOf(
  runs: readonly Run[],
  variants: readonly Variant[],
  targets: readonly Target[],
  loads: readonly LoadRecipe[],
): Report['tables'] {
  const measured = runs.map((run, index) => ({
    run,
    label: runs.length === 1 ? [] : [`run ${index + 1}`],
    results: new Results(run.results),
    variants: run.variants.flatMap((name) => variants.filter((variant) => variant.name === name)),
  }));
  const labelColumn = runs.length === 1 ? [] : [''];
  const ratios = COMPARISONS.map((comparison) => ({
    title: comparison.title,
    columns: [...RATIO_COLUMNS, ...labelColumn],
    // Those of one load together.
    rows: targets.flatMap((target) =>
      measured.flatMap((one): Cell[][] =>
        ratioRows(one.results, one.variants, targetsOf([target], comparison, one.run.families)).map(
          (row) => [...row, ...one.label],
        ),
      ),
    ),
  })).filter(({ rows }) => rows.length > 0);
  const footprints = {
    title: 'Time until it takes requests, and largest resident memory with these loads',
    columns: ['variant', 'seconds', 'GB', ...labelColumn],
    rows: measured.flatMap((one) =>
      footprintRows(new Map(Object.entries(one.run.footprints)), one.variants).map((row) => [
        ...row,
        ...one.label,
      ]),
    ),
  };
  const all = measured.map((one) => ({
    title: ['All loads (concurrency x prompt tokens)', ...one.label].join(', '),
    columns: ['load', 'metric', ...one.variants.map(({ name }) => name)],
    rows: allRows(one.results, loads, one.variants).filter((row) =>
      row.some((cell) => typeof cell === 'number'),
    ),
  }));
  const commands = {
    title: 'Runs',
    columns: ['', 'command', 'commit', 'date', ''],
    rows: measured.map(({ run, label }) => [
      label[0] ?? 'run 1',
      `\`${run.command}\``,
      run.commit,
      run.date,
      run.notes,
    ]),
  };
  return [...ratios, footprints, ...all, commands];
}
