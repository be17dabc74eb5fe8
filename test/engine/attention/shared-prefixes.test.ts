import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { WORDS_PER_TASK } from '../../../engine/attention/kernel/attention-plan.js';
import { AttentionPlanner } from '../../../engine/attention/kernel/attention-planner.js';
import { fullLayout, type PagedAttentionConfig } from '../../../engine/attention/page-layout.js';
import { poisonedKernel, poisonedReference } from '../../support/poisoned-attention.js';
import { largestDifference, sameBits } from '../../support/same-bits.js';
import {
  attendTo,
  type SharedContexts,
  sharedContexts,
  stepOf,
  storeContexts,
} from '../../support/shared-contexts.js';

/** Tasks of a step that read pages for several sequences. */
function sharedTasks({ config, sequences }: SharedContexts): number {
  const planner = new AttentionPlanner(config, fullLayout(config.layers));
  const [{ tasks, numTasks }] = planner.plans(stepOf(sequences));
  return Array.from({ length: numTasks }, (_, i) => tasks[WORDS_PER_TASK * i + 1]).filter(
    (tiles) => tiles > 1,
  ).length;
}

/** The outputs of each sequence, all in one step, and each in a step of its own. */
async function together(
  contexts: SharedContexts,
  config: PagedAttentionConfig = contexts.config,
): Promise<{ batch: Float32Array[]; alone: Float32Array[] }> {
  const kernel = poisonedKernel(config);
  const single = poisonedKernel({ ...config, threads: 1 });
  try {
    storeContexts(kernel, contexts);
    storeContexts(single, contexts);
    return {
      batch: attendTo(kernel, config, contexts.sequences),
      alone: contexts.sequences.flatMap((sequence) => attendTo(single, config, [sequence])),
    };
  } finally {
    await kernel.dispose();
    await single.dispose();
  }
}

describe('sequences that share the beginning of their contexts', () => {
  it('have the bits that each has alone', async () => {
    let shared = 0;
    await fc.assert(
      fc.asyncProperty(sharedContexts, async (contexts) => {
        shared += Math.min(1, sharedTasks(contexts));
        const { batch, alone } = await together(contexts);
        for (const [s, output] of batch.entries()) expect(sameBits(output, alone[s])).toBe(true);
      }),
      { numRuns: 40, seed: 20261201 },
    );
    expect(shared).toBeGreaterThan(15);
  });

  it('have the outputs that the reference has', async () => {
    await fc.assert(
      fc.asyncProperty(sharedContexts, async (contexts) => {
        const { config, sequences } = contexts;
        const reference = poisonedReference(config);
        storeContexts(reference, contexts);
        const expected = attendTo(reference, config, sequences);
        const { batch } = await together(contexts);
        const exact = config.kvDtype === 'f32' || config.layers[0].rotary === null;
        for (const [s, output] of batch.entries()) {
          expect(largestDifference(output, expected[s])).toBeLessThan(exact ? 2e-4 : 2e-2);
        }
      }),
      { numRuns: 8, seed: 20261202 },
    );
  });
});
