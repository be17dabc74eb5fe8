/** The time of a step that has computed one token of each of `rows` sequences. */
export interface MeasuredStep {
  readonly rows: number;
  readonly ms: number;
}

/** Used where nothing was measured: a second row costs a tenth of a step, as on a CPU with VNNI. */
export const TYPICAL_COSTS: readonly MeasuredStep[] = [
  { rows: 1, ms: 1 },
  { rows: 11, ms: 2 },
];

/** What a step costs by its rows: a line through what was measured. */
export class StepCosts {
  readonly #measured: readonly MeasuredStep[];

  /** @param measured two or more, in rising order of rows */
  constructor(measured: readonly MeasuredStep[]) {
    if (measured.length < 2) throw new RangeError('two measured steps are needed at least');
    // A step that took longer than a larger one was disturbed.
    let least = Number.POSITIVE_INFINITY;
    this.#measured = measured
      .toReversed()
      .map(({ rows, ms }) => {
        least = Math.min(least, ms);
        return { rows, ms: least };
      })
      .toReversed();
  }

  /** Milliseconds, or other units in which only ratios count. */
  of(rows: number): number {
    const steps = this.#measured;
    const next = steps.findIndex((step) => step.rows >= rows);
    const right = next < 0 ? steps.length - 1 : Math.max(1, next);
    const [a, b] = [steps[right - 1], steps[right]];
    return a.ms + ((rows - a.rows) * (b.ms - a.ms)) / (b.rows - a.rows);
  }
}
