import { describe, expect, it } from 'vitest';
import type { PagedAttentionConfig } from '../../../engine/attention/page-layout.js';
import { KV_DTYPES } from '../../../engine/attention/paged-attention.js';
import { numbers, plainLayer } from '../../support/attention-cases.js';
import { poisonedKernel } from '../../support/poisoned-attention.js';
import { sameBits } from '../../support/same-bits.js';
import { attendTo, type SharingSequence, storeContexts } from '../../support/shared-contexts.js';

// Contexts of several spans of 512 tokens: each span has a softmax of its own.

const LAYER = plainLayer(24, { numHeads: 6, numKvHeads: 2, scale: 0.2, sinks: numbers(6, 5) });

/** A sequence that has the blocks from `first` on, with its last `queries` tokens in the step. */
function sequence(first: number, context: number, queries: number): SharingSequence {
  const table = Array.from({ length: Math.ceil(context / 16) }, (_, i) => first + i);
  const lastSeen = Array.from({ length: queries }, (_, i) => context - queries + i);
  return { table, context, queries, lastSeen };
}

const configOf = (more: Partial<PagedAttentionConfig>): PagedAttentionConfig => ({
  layers: [LAYER],
  numBlocks: 400,
  blockSize: 16,
  kvDtype: 'f32',
  threads: 1,
  ...more,
});

describe('contexts of several spans', () => {
  it.each(KV_DTYPES)('have the same bits with any number of threads: %s', async (kvDtype) => {
    const sequences = [sequence(0, 2100, 1), sequence(140, 1300, 40), sequence(230, 300, 2)];
    const outputs = [];
    for (const threads of [1, 2, 3, 4]) {
      const config = configOf({ kvDtype, threads });
      const kernel = poisonedKernel(config);
      storeContexts(kernel, { config, sequences });
      outputs.push(attendTo(kernel, config, sequences));
      await kernel.dispose();
    }
    const [one, ...more] = outputs;
    for (const other of more) {
      for (const [s, output] of other.entries()) expect(sameBits(output, one[s])).toBe(true);
    }
  });

  it.each(KV_DTYPES)('have the same bits however a prompt is cut: %s', async (kvDtype) => {
    for (const slidingWindow of [0, 50, 600]) {
      const config = configOf({ kvDtype, threads: 2, layers: [{ ...LAYER, slidingWindow }] });
      const kernel = poisonedKernel(config);
      const whole = sequence(0, 1200, 1200);
      storeContexts(kernel, { config, sequences: [whole] });
      const [expected] = attendTo(kernel, config, [whole]);
      const width = LAYER.numHeads * LAYER.headSize;
      let before = 0;
      for (const length of [1, 511, 1, 90, 500, 97]) {
        const context = before + length;
        const part = { ...sequence(0, context, length), table: whole.table };
        const [output] = attendTo(kernel, config, [part]);
        const rows = expected.subarray(before * width, context * width);
        expect(sameBits(output, rows)).toBe(true);
        before = context;
      }
      await kernel.dispose();
    }
  });
});
