import type { StepPlan } from '../../scheduler/step-plan.js';

/** What a step computes, and how long it took. */
export interface StepSample {
  /** Rows: tokens of all sequences together. */
  readonly tokens: number;
  /** Over all rows: the tokens that their attention reads. */
  readonly reads: number;
  readonly ms: number;
}

/**
 * Times of steps as they were measured: the rows' by interpolation between measured numbers of
 * them, plus a time for each token that attention reads.
 */
export interface StepTimes {
  /** `[tokens, ms]` without attention, rising. */
  readonly rows: readonly (readonly [tokens: number, ms: number])[];
  /** Milliseconds for each token that a row reads. */
  readonly msPerRead: number;
}

/** Rows, and what they read: row i of a prompt reads all before it and itself. */
export function workOf({ sequences, numTokens }: StepPlan): Omit<StepSample, 'ms'> {
  let reads = 0;
  for (const { numComputed, tokenIds } of sequences) {
    reads += tokenIds.length * numComputed + (tokenIds.length * (tokenIds.length + 1)) / 2;
  }
  return { tokens: numTokens, reads };
}

/**
 * @param samples at least two of one number of tokens, which differ in what they read
 */
export function fitStepTimes(samples: readonly StepSample[]): StepTimes {
  const byTokens = new Map<number, StepSample[]>();
  for (const sample of samples) {
    byTokens.set(sample.tokens, [...(byTokens.get(sample.tokens) ?? []), sample]);
  }
  // Least squares of one slope with an offset for each number of tokens.
  let [products, squares] = [0, 0];
  const means = [...byTokens].map(([tokens, of]) => {
    const reads = mean(of.map((sample) => sample.reads));
    const ms = mean(of.map((sample) => sample.ms));
    for (const sample of of) {
      products += (sample.reads - reads) * (sample.ms - ms);
      squares += (sample.reads - reads) ** 2;
    }
    return { tokens, reads, ms };
  });
  if (squares === 0) throw new Error('no two steps of as many tokens read different lengths');
  const msPerRead = Math.max(0, products / squares);
  const rows = means
    .map(({ tokens, reads, ms }) => [tokens, Math.max(0, ms - msPerRead * reads)] as const)
    .sort(([a], [b]) => a - b);
  return { rows, msPerRead };
}

/** Times of a machine whose steps take so many times as long. */
export function slower({ rows, msPerRead }: StepTimes, factor: number): StepTimes {
  const scaled = rows.map(([tokens, ms]) => [tokens, factor * ms] as const);
  return { rows: scaled, msPerRead: factor * msPerRead };
}

/** Milliseconds of a step. */
export function stepMs({ rows, msPerRead }: StepTimes, plan: StepPlan): number {
  const { tokens, reads } = workOf(plan);
  return interpolate(rows, tokens) + msPerRead * reads;
}

/** Linear between the points, and beyond the last as between the last two. */
export function interpolate(points: StepTimes['rows'], at: number): number {
  let index = points.findIndex(([tokens]) => tokens >= at);
  if (index === 0) return points[0][1];
  if (index < 0) index = points.length - 1;
  const [[x0, y0], [x1, y1]] = [points[index - 1], points[index]];
  return y0 + ((at - x0) / (x1 - x0)) * (y1 - y0);
}

function mean(values: readonly number[]): number {
  return values.reduce((a, b) => a + b, 0) / values.length;
}
