import { describe, expect, it } from 'vitest';
import type { ModelRunner } from '../../../engine/core/model-runner.js';
import type { LogitsQuery } from '../../../engine/decoding/logits-query.js';
import { kernelStages } from '../../../engine/thread/kernel-stages.js';
import { type LargestStep, warmUp, warmUpKernels } from '../../../engine/thread/warm-up.js';
import type { StepPlan } from '../../../scheduler/step-plan.js';

interface Step {
  readonly plan: StepPlan;
  readonly query: LogitsQuery;
}

/** All steps that are run. */
async function stepsOf(
  largest: LargestStep,
  warm: (runner: ModelRunner, largest: LargestStep) => Promise<void>,
): Promise<Step[]> {
  const steps: Step[] = [];
  const runner: ModelRunner = {
    execute(plan, query) {
      steps.push({ plan, query });
      return Promise.resolve(undefined as never);
    },
    canCopyBlocks: true,
    timings: { segments: 0, attention: 0 },
    dispose: () => Promise.resolve(),
  };
  await warm(runner, largest);
  return steps;
}

/** The one step that is run. */
async function stepOf(largest: LargestStep): Promise<Step> {
  const steps = await stepsOf(largest, warmUp);
  expect(steps).toHaveLength(1);
  return steps[0];
}

const warmKernels = (runner: ModelRunner, largest: LargestStep): Promise<void> =>
  warmUpKernels(runner, largest, () => undefined);

const sizes = ({ sequences }: StepPlan): number[] => sequences.map((s) => s.tokenIds.length);

describe('the first step', () => {
  it('has as many tokens and sampled rows as a step may ever have', async () => {
    const { plan, query } = await stepOf({
      tokens: 100,
      sequences: 7,
      maxModelLength: 64,
      blockSize: 4,
      numGroups: 1,
    });
    expect(plan.numTokens).toBe(100);
    expect(sizes(plan)).toEqual([15, 15, 14, 14, 14, 14, 14]);
    expect(query.logitRows).toHaveLength(7);
    expect(query.fullRows).toEqual([]);
    for (const { blockTables } of plan.sequences) expect(blockTables).toEqual([[0, 1, 2, 3]]);
  });

  it('has no empty sequence, and none that is longer than the model', async () => {
    const few = await stepOf({
      tokens: 3,
      sequences: 256,
      maxModelLength: 64,
      blockSize: 16,
      numGroups: 1,
    });
    expect(sizes(few.plan)).toEqual([1, 1, 1]);
    const short = await stepOf({
      tokens: 512,
      sequences: 2,
      maxModelLength: 64,
      blockSize: 16,
      numGroups: 1,
    });
    expect(sizes(short.plan)).toEqual([64, 64]);
    expect(short.plan.numTokens).toBe(128);
  });
});

describe('the first steps of a device', () => {
  it('are of each kind that has kernels of its own, the largest last', async () => {
    const largest = { maxModelLength: 256, blockSize: 32, numGroups: 1 };
    const steps = await stepsOf({ tokens: 100, sequences: 7, ...largest }, warmKernels);
    expect(steps.slice(0, -1).map(({ plan }) => sizes(plan))).toEqual([
      [1],
      [1, 1, 1, 1, 1, 1, 1],
      [8],
      [64],
    ]);
    expect(steps.at(-1)?.plan.numTokens).toBe(100);
    const small = await stepsOf({ tokens: 4, sequences: 9, ...largest }, warmKernels);
    expect(small.map(({ plan }) => sizes(plan))).toEqual([
      [1],
      [1, 1, 1, 1],
      [4],
      [4],
      [1, 1, 1, 1],
    ]);
  });
});

describe('progress of a start on a device', () => {
  it('is said at once, and then every two seconds at most; the last of its stages is the last step', async () => {
    const said: string[] = [];
    let time = 0;
    const next = kernelStages(
      (line) => said.push(line),
      () => time,
    );
    for (const ms of [0, 500, 1499, 1, 30_000]) {
      time += ms;
      next();
    }
    let steps = 0;
    const runner = { execute: () => Promise.resolve() } as unknown as ModelRunner;
    const largest = {
      tokens: 8,
      sequences: 2,
      maxModelLength: 64,
      blockSize: 32,
      numGroups: 1,
    };
    await warmUpKernels(runner, largest, () => (steps += 1));
    expect(said.map((line) => /\d+ of \d+$/.exec(line)?.[0])).toEqual([
      `1 of ${2 + steps}`,
      `4 of ${2 + steps}`,
      `5 of ${2 + steps}`,
    ]);
  });
});
