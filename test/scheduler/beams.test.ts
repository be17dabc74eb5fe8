import { expect, it } from 'vitest';
import type { SequenceId } from '../../scheduler/ids.js';
import { type Beam, BeamDecoder } from '../support/beam-decoder.js';
import { CoreHarness } from '../support/core-harness.js';
import { CountingConstraint } from '../support/counting-constraint.js';
import { modelLogits } from '../support/paged-model.js';
import { range } from '../support/sequences.js';

const VOCAB = 12;

/** Beam search over whole texts, without any cache. */
function beamsOf(prompt: readonly number[], width: number, maxTokens: number): Beam[] {
  let beams: Beam[] = [{ tokenIds: [], score: 0 }];
  for (let n = 0; n < maxTokens; n++) {
    const all = beams.flatMap(({ tokenIds, score }) => {
      const logits = modelLogits([...prompt, ...tokenIds], VOCAB);
      const total = Math.log(logits.reduce((sum, logit) => sum + Math.exp(logit), 0));
      return Array.from(logits, (logit, token): Beam => {
        return { tokenIds: [...tokenIds, token as never], score: score + logit - total };
      });
    });
    beams = all.sort((a, b) => b.score - a.score).slice(0, width);
  }
  return beams;
}

it.each([
  [2, true],
  [3, true],
  [5, true],
  [3, false],
])(
  '%s beams find the texts that a search over whole texts finds (blocks can be copied: %s)',
  async (width, canCopyBlocks) => {
    const decoder = new BeamDecoder(width);
    const sizes = { maxNumSeqs: 3 * width, numBlocks: 200 };
    const h = new CoreHarness({ vocabSize: VOCAB, ...sizes, canCopyBlocks, decoder });
    const prompts = [range(0, 10), range(0, 7), range(5, 6)];
    for (const [i, prompt] of prompts.entries()) {
      h.add(`${i}`, prompt, 9);
      // Requests that are searched at the same time do not change each other's beams.
      if (i === 1) await h.step();
      if (i === 2) await h.runToEnd();
    }
    for (const [i, prompt] of prompts.entries()) {
      const found = decoder.results.get(`${i}` as SequenceId) ?? [];
      const expected = beamsOf(prompt, width, 9);
      expect(found.map(({ tokenIds }) => tokenIds)).toEqual(
        expected.map(({ tokenIds }) => tokenIds),
      );
      for (const [rank, { score }] of found.entries()) {
        expect(score).toBeCloseTo(expected[rank].score, 4);
      }
    }
    // Beams have parted: not all of them are continuations of the first step's.
    const copies = h.model.steps.some(({ blockCopies }) => blockCopies.length > 0);
    expect(copies).toBe(canCopyBlocks);
    expect(h.cache.pool.numUsed).toBe(0);
    h.core.checkIntegrity();
  },
);

it('a sequence under a constraint does not fork', async () => {
  const h = new CoreHarness({ vocabSize: VOCAB, decoder: new BeamDecoder(2) });
  h.add('a', range(0, 4), 3, {}, [new CountingConstraint(VOCAB)]);
  await expect(h.step()).rejects.toThrow('a sequence under a constraint cannot fork');
});
