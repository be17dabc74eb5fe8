import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { RequestId } from '../../scheduler/ids.js';
import { CoreHarness } from '../support/core-harness.js';
import { expectedText } from '../support/paged-model.js';

const VOCAB = 20;
const arrival = fc.record({
  kind: fc.constant('arrive' as const),
  /** Few families of prompts, so that prefixes are shared. */
  family: fc.nat({ max: 2 }),
  length: fc.integer({ min: 1, max: 40 }),
  maxTokens: fc.integer({ min: 1, max: 20 }),
  completions: fc.integer({ min: 1, max: 3 }),
  priority: fc.nat({ max: 2 }),
  salt: fc.constantFrom(null, 'tenant'),
});
const event = fc.oneof(
  arrival,
  fc.record({ kind: fc.constant('abort' as const), pick: fc.nat() }),
  fc.record({ kind: fc.constant('steps' as const), count: fc.integer({ min: 1, max: 6 }) }),
);
const config = fc.record({
  policy: fc.constantFrom('fcfs' as const, 'priority' as const),
  numBlocks: fc.integer({ min: 16, max: 40 }),
  blockSize: fc.constantFrom(4, 5),
  maxNumSeqs: fc.integer({ min: 1, max: 6 }),
  maxNumBatchedTokens: fc.integer({ min: 1, max: 40 }),
  longPrefillThreshold: fc.constantFrom(0, 7),
  enablePrefixCaching: fc.boolean(),
});

/** A prompt of a family: all prompts of a family are prefixes of one another. */
function prompt(family: number, length: number): number[] {
  return Array.from({ length }, (_, i) => (i * 7 + family * 3) % VOCAB);
}

describe('any history of requests', () => {
  // Arrivals, aborts, forks, preemptions, hits: whatever happens, each completed text is what the model says
  // alone, integrity holds after every step (the harness checks), and in the end no block is in use.
  it('gives each request its own text and all blocks back', async () => {
    await fc.assert(
      fc.asyncProperty(config, fc.array(event, { maxLength: 25 }), async (settings, events) => {
        const h = new CoreHarness({ ...settings, maxModelLength: 64, vocabSize: VOCAB });
        const expected = new Map<string, number[]>();
        const aborted = new Set<string>();
        for (const [i, e] of events.entries()) {
          if (e.kind === 'arrive') {
            const ids = Array.from({ length: e.completions }, (_, k) => `${i}.${k}`);
            const tokens = prompt(e.family, e.length);
            h.add(ids, tokens, e.maxTokens, { priority: e.priority, cacheSalt: e.salt });
            for (const id of ids) expected.set(id, expectedText(tokens, e.maxTokens, VOCAB));
          } else if (e.kind === 'abort' && expected.size > 0) {
            const id = [...expected.keys()][e.pick % expected.size];
            if (h.core.abort(id as RequestId)) aborted.add(id);
            h.scheduler.checkIntegrity();
          } else if (e.kind === 'steps') {
            for (let s = 0; s < e.count; s++) await h.step();
          }
        }
        await h.runToEnd(20_000);
        for (const [id, text] of expected) {
          if (!aborted.has(id)) expect(h.texts.get(id)).toEqual(text);
        }
        expect(h.cache.pool.numUsed).toBe(0);
        expect(h.cache.resetPrefixCache()).toBe(true);
      }),
      { numRuns: 300 },
    );
  });
});
