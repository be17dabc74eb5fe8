import type { BlockId } from '../../kvcache/ids.js';
import type { SequenceId, TokenId } from '../../scheduler/ids.js';
import type { ScheduledSequence, StepPlan } from '../../scheduler/step-plan.js';
import type { ModelRunner } from '../core/model-runner.js';
import { fullRowsOf } from '../decoding/logits-query.js';
import type { MeasuredStep } from '../speculation/step-costs.js';

export interface LargestStep {
  readonly tokens: number;
  readonly sequences: number;
  /** Maximum length of a sequence, in tokens. */
  readonly maxModelLength: number;
  readonly blockSize: number;
  /** Number of cache groups. */
  readonly numGroups: number;
}

/**
 * Runs the largest step that can be scheduled, once. The process' heap then has the memory for all
 * steps, and a machine without enough memory is noticed before requests arrive. Without it, the
 * first prompt of 512 tokens took 1.5 times as long (Qwen2.5-0.5B's shape).
 *
 * Call it before the first request: it overwrites arbitrary blocks.
 */
export async function warmUp(runner: ModelRunner, largest: LargestStep): Promise<void> {
  const plan = largestPlan(largest);
  await runner.execute(plan, { ...fullRowsOf(plan), fullRows: [] });
}

/** Tokens of a prompt from which on a device has another kernel for it, and of a piece before. */
const [PROMPT, PIECE] = [64, 8];

/** Steps of `warmUpKernels`. */
export const KERNEL_STEPS = 5;

/**
 * The same for a device, whose kernels are compiled when they are first needed: for seconds, which
 * the first requests would wait. Which ones a step needs depends on the tokens that it has of a
 * sequence.
 *
 * @param onStep called before each of `KERNEL_STEPS` steps
 */
export async function warmUpKernels(
  runner: ModelRunner,
  largest: LargestStep,
  onStep: () => void,
): Promise<void> {
  const { tokens, sequences, maxModelLength } = largest;
  const most = Math.min(tokens, maxModelLength);
  for (const step of [
    { tokens: 1, sequences: 1 },
    { tokens: Math.min(tokens, sequences), sequences },
    { tokens: Math.min(most, PIECE), sequences: 1 },
    { tokens: Math.min(most, PROMPT), sequences: 1 },
  ]) {
    const plan = largestPlan({ ...largest, ...step });
    onStep();
    await runner.execute(plan, { ...fullRowsOf(plan), fullRows: [0] });
  }
  onStep();
  await warmUp(runner, largest);
}

/** Rows of the steps that are measured: where the costs of most CPUs and GPUs bend. */
export const MEASURED_ROWS = [1, 2, 4, 8, 16, 32, 64];
/** Each is measured as often; the quickest counts, because others were disturbed. */
const ROUNDS = 3;

/**
 * Measures steps that compute one token of each of some sequences, for decisions about how many
 * tokens are worth a step. It takes about 12 such steps of 8 rows. The same conditions as for
 * `warmUp`, which it needs before.
 *
 * @param now milliseconds
 */
export async function measureSteps(
  runner: ModelRunner,
  largest: LargestStep,
  now: () => number,
): Promise<MeasuredStep[]> {
  const all = MEASURED_ROWS.filter((rows) => rows <= largest.tokens);
  return quickestOf(all, now, async (rows) => {
    const plan = largestPlan({ ...largest, tokens: rows, sequences: rows });
    await runner.execute(plan, { ...fullRowsOf(plan), fullRows: [] });
  });
}

/** The quickest of some runs, by their rows. */
export async function quickestOf(
  all: readonly number[],
  now: () => number,
  run: (rows: number) => Promise<void>,
): Promise<MeasuredStep[]> {
  const quickest = all.map(() => Number.POSITIVE_INFINITY);
  // In turn, because the machine's speed changes.
  for (let round = 0; round < ROUNDS; round++) {
    for (const [i, rows] of all.entries()) {
      const start = now();
      await run(rows);
      quickest[i] = Math.min(quickest[i], now() - start);
    }
  }
  return all.map((rows, i) => ({ rows, ms: quickest[i] }));
}

/** All sequences write into the same blocks, because their content is not used. */
function largestPlan(largest: LargestStep): StepPlan {
  const { maxModelLength, blockSize, numGroups } = largest;
  const count = Math.min(largest.sequences, largest.tokens);
  const tokens = Math.min(largest.tokens, count * maxModelLength);
  const longest = Math.ceil(tokens / count);
  const blocks = Array.from({ length: Math.ceil(longest / blockSize) }, (_, i) => i as BlockId);
  const sequences = Array.from({ length: count }, (_, index): ScheduledSequence => {
    const id = `warm-up-${index}` as SequenceId;
    const length = Math.floor(tokens / count) + (index < tokens % count ? 1 : 0);
    return {
      id,
      tokenIds: Array.from({ length }, () => 0 as TokenId),
      numComputed: 0,
      numProposed: 0,
      adapter: null,
      sequenceLength: length,
      blockTables: Array.from({ length: numGroups }, () => blocks),
      sampledFor: [id],
    };
  });
  return { sequences, numTokens: tokens, blockCopies: [] };
}
