import { describe, expect, it } from 'vitest';
import { type CacheGroup, FULL_ATTENTION } from '../../kvcache/cache-group.js';
import type { TokenId } from '../../scheduler/ids.js';
import { CoreHarness, type HarnessConfig } from '../support/core-harness.js';
import { LateConstraint } from '../support/late-constraint.js';
import { expectedText, nextToken } from '../support/paged-model.js';
import { range } from '../support/sequences.js';

const VOCAB = 50;

// A model of layers with attention and recurrent ones, whose next token is made of the recurrent
// state. histories.test.ts has any mixture of what is shown here.

const hybrid = (checkpointBlocks: number): CacheGroup[] => [
  FULL_ATTENTION,
  { kind: 'recurrent', checkpointBlocks },
];

function harness(config: HarnessConfig = {}): CoreHarness {
  return new CoreHarness({ vocabSize: VOCAB, groups: hybrid(2), numBlocks: 64, ...config });
}

describe('a hybrid model', () => {
  it('goes on behind a cached prefix whose state is a checkpoint', async () => {
    const h = harness();
    const prompt = range(0, 23);
    for (const id of ['first', 'second']) {
      h.add(id, prompt, 9);
      await h.runToEnd();
      expect(h.texts.get(id)).toEqual(expectedText(prompt, 9, VOCAB));
    }
    // Blocks of 4: there is a state behind the last full one.
    expect(h.first.get('second')?.cachedTokens).toBe(20);
    // And at every second: 12 tokens are in common, and have K and V in the cache.
    h.add('other', [...range(0, 13), 49], 2);
    await h.runToEnd();
    expect(h.first.get('other')?.cachedTokens).toBe(8);
  });

  it('hits in one step what another sequence of the same step leaves behind', async () => {
    const h = harness({ maxNumBatchedTokens: 64 });
    const prompt = range(0, 23);
    h.add('a', prompt, 3);
    h.add('b', prompt, 3);
    await h.runToEnd();
    expect(h.first.get('b')?.cachedTokens).toBe(20);
    for (const id of ['a', 'b']) expect(h.texts.get(id)).toEqual(expectedText(prompt, 3, VOCAB));
  });

  it('computes siblings once, and each goes on with a state of its own', async () => {
    const h = harness();
    const prompt = range(0, 10);
    h.add(['a', 'b', 'c'], prompt, 12);
    await h.runToEnd();
    for (const id of ['a', 'b', 'c']) {
      expect(h.texts.get(id)).toEqual(expectedText(prompt, 12, VOCAB));
    }
    expect(h.model.steps.flatMap(({ blockCopies }) => blockCopies).length).toBeGreaterThan(0);
  });

  it('comes back after a preemption', async () => {
    const h = harness({ numBlocks: 16 });
    const prompts = range(0, 4).map((n) => range(10 * n, 9));
    for (const [i, prompt] of prompts.entries()) h.add(`${i}`, prompt, 20);
    await h.runToEnd();
    expect(h.scheduler.numPreemptions).toBeGreaterThan(0);
    for (const [i, prompt] of prompts.entries()) {
      expect(h.texts.get(`${i}`)).toEqual(expectedText(prompt, 20, VOCAB));
    }
    expect(h.cache.pool.numUsed).toBe(0);
  });

  it('computes accepted proposals again, because no state of them was kept', async () => {
    const prompt = range(0, 6);
    const h: CoreHarness = harness({
      propose: (id, room) => {
        const context = [...prompt, ...(h.texts.get(id) ?? [])];
        return range(0, Math.min(3, room)).map((i) => {
          context.push((nextToken(context, VOCAB) + (i === 2 ? 1 : 0)) % VOCAB);
          return context[context.length - 1] as TokenId;
        });
      },
    });
    h.add('a', prompt, 24);
    await h.runToEnd();
    expect(h.texts.get('a')).toEqual(expectedText(prompt, 24, VOCAB));
    // Two of three are right: three tokens a step.
    expect(h.model.steps).toHaveLength(8);
    const [, second] = h.model.steps;
    expect(second.sequences[0]).toMatchObject({ numComputed: 6, numProposed: 3 });
    expect(second.sequences[0].tokenIds).toHaveLength(3 + 3);
  });

  it.each([true, false])(
    'goes back to a checkpoint when nothing could be decided (caching: %s)',
    async (caching) => {
      const run = async (late: boolean): Promise<CoreHarness> => {
        const h = harness({ enablePrefixCaching: caching });
        const constraint = new LateConstraint(VOCAB, (accepted) => late && accepted % 5 === 3);
        h.add('a', range(0, 13), 16, {}, [constraint]);
        for (let round = 0; h.core.hasWork; round++) {
          if (round > 100) throw new Error('it does not end');
          await h.runWhilePossible();
          constraint.arrive();
        }
        return h;
      };
      const late = await run(true);
      expect(late.texts.get('a')).toEqual((await run(false)).texts.get('a'));
      const recomputed = late.model.steps.filter(
        ({ sequences }) => sequences[0].tokenIds.length > 1,
      );
      expect(recomputed.length).toBeGreaterThan(1);
      // All 16 tokens were computed when the mask was late. The prompt's last full block, of 12
      // tokens, has left a checkpoint behind.
      const { numComputed } = recomputed[1].sequences[0];
      expect(numComputed).toBe(caching ? 12 : 0);
    },
  );

  it('refuses what the pool cannot hold beside its states', () => {
    // 33 tokens: 9 blocks of K and V, and for a step of 8 tokens three states.
    const h = harness({ numBlocks: 11, maxNumBatchedTokens: 8 });
    expect(() => h.add('a', range(0, 20), 14)).toThrow('The request needs 12 (');
    const enough = harness({ numBlocks: 12, maxNumBatchedTokens: 8 });
    expect(() => enough.add('a', range(0, 20), 14)).not.toThrow();
  });
});
