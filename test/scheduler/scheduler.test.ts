import { describe, expect, it } from 'vitest';
import { GREEDY } from '../../engine/sampling/sampling-params.js';
import type { SequenceId } from '../../scheduler/ids.js';
import { CoreHarness } from '../support/core-harness.js';
import { LateTier } from '../support/late-tier.js';
import { expectedText } from '../support/paged-model.js';
import { range } from '../support/sequences.js';

/** `request:tokens` for each piece of a step. */
function shape(harness: CoreHarness, step: number): string[] {
  return harness.model.steps[step].sequences.map((s) => `${s.id}:${s.tokenIds.length}`);
}

describe('Scheduler', () => {
  it('mixes decodes and pieces of prompts in one step, the running ones first', async () => {
    const h = new CoreHarness({ maxNumBatchedTokens: 8 });
    h.add('a', range(0, 5), 4);
    await h.step();
    h.add('b', range(10, 12), 2);
    await h.runToEnd();
    expect(shape(h, 0)).toEqual(['a:5']);
    expect(shape(h, 1)).toEqual(['a:1', 'b:7']);
    expect(shape(h, 2)).toEqual(['a:1', 'b:5']);
    expect(shape(h, 3)).toEqual(['a:1', 'b:1']);
    expect(h.model.steps).toHaveLength(4);
    expect(h.texts.get('b')).toEqual(expectedText(range(10, 12), 2, h.vocabSize));
  });

  it('never exceeds the token budget or the number of sequences', async () => {
    const h = new CoreHarness({ maxNumBatchedTokens: 16, maxNumSeqs: 3 });
    for (let i = 0; i < 10; i++) h.add(`r${i}`, range(i, 3 + 2 * i), 5);
    await h.runToEnd();
    for (const plan of h.model.steps) {
      const tokens = plan.sequences.reduce((n, s) => n + s.tokenIds.length, 0);
      expect(tokens).toBe(plan.numTokens);
      expect(tokens).toBeLessThanOrEqual(16);
      expect(plan.sequences.length).toBeLessThanOrEqual(3);
    }
  });

  it('serves in the order of arrival', async () => {
    const h = new CoreHarness({ maxNumSeqs: 1 });
    for (const id of ['a', 'b', 'c']) h.add(id, range(0, 5), 2);
    await h.runToEnd();
    expect([...h.finished.keys()]).toEqual(['a', 'b', 'c']);
  });

  it('limits a long prompt to the threshold, so that others get their share of the step', async () => {
    const h = new CoreHarness({ maxNumBatchedTokens: 16, longPrefillThreshold: 6 });
    h.add('long', range(0, 30), 1);
    h.add('short', range(30, 5), 1);
    await h.step();
    expect(shape(h, 0)).toEqual(['long:6', 'short:5']);
  });

  it('preempts the last to arrive, keeps its tokens, and nobody notices in the text', async () => {
    const h = new CoreHarness({ numBlocks: 8, enablePrefixCaching: false });
    h.add('a', range(0, 8), 12);
    h.add('b', range(20, 8), 12);
    await h.runToEnd();
    expect(h.scheduler.numPreemptions).toBeGreaterThan(0);
    expect(h.texts.get('a')).toEqual(expectedText(range(0, 8), 12, h.vocabSize));
    expect(h.texts.get('b')).toEqual(expectedText(range(20, 8), 12, h.vocabSize));
    expect([...h.finished.keys()]).toEqual(['a', 'b']);
    expect(h.cache.pool.numUsed).toBe(0);
  });

  it('lets a preempted request hit its own cached blocks on return', async () => {
    const h = new CoreHarness({ numBlocks: 8 });
    h.add('a', range(0, 8), 12);
    h.add('b', range(20, 8), 12);
    await h.runToEnd();
    const recomputed = h.model.steps.flatMap((plan) =>
      plan.sequences.filter((s) => s.id === 'b' && s.tokenIds.length > 1),
    );
    expect(recomputed.length).toBeGreaterThan(1);
    expect(recomputed.at(-1)?.numComputed).toBeGreaterThan(0);
    expect(h.texts.get('b')).toEqual(expectedText(range(20, 8), 12, h.vocabSize));
  });

  it('computes a sequence anew that grows beyond a switch length, but for what is cached of longer ones', async () => {
    const h = new CoreHarness({ switchLengths: [10] });
    const prompt = range(0, 8);
    h.add('a', prompt, 6);
    await h.runToEnd();
    expect(h.texts.get('a')).toEqual(expectedText(prompt, 6, h.vocabSize));
    // The eleventh token is computed together with all before it, and the last is never computed.
    expect(h.model.steps.flatMap((p) => p.sequences.map((s) => s.tokenIds.length))).toEqual([
      8, 1, 1, 11, 1, 1,
    ]);
    expect(h.scheduler.numPreemptions).toBe(0);
    h.add('b', [...prompt, ...expectedText(prompt, 4, h.vocabSize)], 1);
    h.add('c', prompt, 1);
    await h.runToEnd();
    // Blocks of 4 tokens, each from a sequence of its own length: 12 and 8 tokens, of which one is
    // computed in any case.
    expect(h.finished.get('b')?.cachedTokens).toBe(8);
    expect(h.finished.get('c')?.cachedTokens).toBe(4);
  });

  it('reports cached prompt tokens, also when everything but the last token is cached', async () => {
    const h = new CoreHarness();
    h.add('a', range(0, 12), 1);
    await h.runToEnd();
    h.add('b', range(0, 12), 1);
    h.add('c', range(0, 13), 1);
    await h.runToEnd();
    expect(h.finished.get('a')?.cachedTokens).toBe(0);
    expect(h.finished.get('b')?.cachedTokens).toBe(8);
    expect(h.finished.get('c')?.cachedTokens).toBe(12);
  });

  it('computes a prompt once for n completions, which fork from it', async () => {
    const h = new CoreHarness({ maxNumSeqs: 3 });
    const prompt = range(0, 10);
    const sampling = { ...GREEDY, temperature: 1, seed: 7 };
    h.add(['x', 'y', 'z'], prompt, 6, { sampling });
    await h.runToEnd();
    const prompts = h.model.steps.flatMap((p) => p.sequences).filter((s) => s.tokenIds.length > 1);
    expect(prompts).toHaveLength(1);
    expect(h.finished.size).toBe(3);
    for (const [i, id] of ['x', 'y', 'z'].entries()) {
      const alone = new CoreHarness();
      alone.add(id, prompt, 6, { sampling: { ...sampling, seed: 7 + i } });
      await alone.runToEnd();
      expect(h.texts.get(id)).toEqual(alone.texts.get(id));
    }
  });

  it('forks more completions than may run at once', async () => {
    const h = new CoreHarness({ maxNumSeqs: 2 });
    const ids = ['a', 'b', 'c', 'd', 'e'];
    h.add(ids, range(0, 9), 4);
    await h.runToEnd();
    for (const id of ids) expect(h.texts.get(id)).toEqual(expectedText(range(0, 9), 4, 50));
  });

  it('aborts in every state and frees the blocks at once', async () => {
    const h = new CoreHarness({ maxNumBatchedTokens: 8, maxNumSeqs: 2 });
    h.add('prefilling', range(0, 20), 4);
    h.add(['m', 'n'], range(0, 6), 4);
    h.add('waiting', range(5, 6), 4);
    await h.step();
    for (const id of ['prefilling', 'm', 'waiting'] as SequenceId[]) {
      expect(h.core.abort(id)).toBe(true);
      expect(h.core.abort(id)).toBe(false);
      h.scheduler.checkIntegrity();
    }
    await h.runToEnd();
    expect([...h.finished.keys()]).toEqual(['n']);
    expect(h.cache.pool.numUsed).toBe(0);
  });

  it('stops at a stop token and at the length', async () => {
    const prompt = range(0, 6);
    const text = expectedText(prompt, 8, 50);
    const h = new CoreHarness();
    h.add('stop', prompt, 8, { stopTokenIds: [text[3] as never] });
    h.add('length', prompt, 8);
    await h.runToEnd();
    expect(h.finished.get('stop')?.finishReason).toBe('stop');
    expect(h.texts.get('stop')).toEqual(text.slice(0, text.indexOf(text[3]) + 1));
    expect(h.finished.get('length')?.finishReason).toBe('length');
  });

  it('refuses at once what can never fit, with both numbers', () => {
    const h = new CoreHarness({ numBlocks: 10, maxModelLength: 64 });
    expect(() => h.add('a', Array<number>(60).fill(1), 5)).toThrow(
      /maximum context length is 64 tokens\. However, you requested 65 tokens/,
    );
    expect(() => h.add('a', range(0, 30), 12)).toThrow(/has 10 blocks.*needs 11/);
    expect(() => h.add('a', [], 5)).toThrow(/at least one token/);
    expect(() => h.add('a', [50], 5)).toThrow(/token id 50 is outside the vocabulary \(0 to 49\)/);
    h.add('a', range(0, 30), 11);
    expect(() => h.add('a', range(0, 3), 1)).toThrow(/in use/);
  });

  it('priority: an urgent request overtakes', async () => {
    const h = new CoreHarness({ policy: 'priority', maxNumSeqs: 1 });
    h.add('patient', range(0, 5), 1, { priority: 2 });
    h.add('urgent', range(0, 5), 1, { priority: 0 });
    await h.runToEnd();
    expect([...h.finished.keys()]).toEqual(['urgent', 'patient']);
  });
});

describe('Scheduler, paused', () => {
  it('computes nothing for a paused request, keeps its blocks, and gives its seat to others', async () => {
    const h = new CoreHarness({ maxNumSeqs: 1 });
    h.add('a', range(0, 8), 12);
    h.add('b', range(20, 8), 3);
    await h.step();
    expect(h.scheduler.pause('a' as SequenceId)).toBe(true);
    const held = h.cache.pool.numUsed;
    await h.runWhilePossible();
    expect([h.scheduler.numPaused, h.scheduler.hasWork]).toEqual([1, true]);
    expect([h.texts.get('a')?.length, h.texts.get('b')?.length]).toEqual([1, 3]);
    expect(h.cache.pool.numUsed).toBe(held);
    expect(h.scheduler.progress(0)).toMatchObject([{ ids: ['a'], state: 'paused' }]);
    expect(h.scheduler.resume('a' as SequenceId)).toBe(true);
    await h.runToEnd();
    // Nothing is computed twice: it goes on with the next token.
    expect(shape(h, h.model.steps.length - 1)).toEqual(['a:1']);
    expect(h.scheduler.numPreemptions).toBe(0);
    expect(h.texts.get('a')).toEqual(expectedText(range(0, 8), 12, h.vocabSize));
  });

  it.each([true, false])(
    'gives the blocks of the paused to those who wait, the last of them first (prefix cache: %s)',
    async (enablePrefixCaching) => {
      const h = new CoreHarness({ numBlocks: 10, enablePrefixCaching });
      h.add('a', range(0, 12), 8);
      h.add('b', range(20, 12), 8);
      await h.step();
      h.core.pause(['a', 'b'] as SequenceId[]);
      h.add('c', range(30, 20), 4);
      await h.step();
      const blocks = h.scheduler.progress(9).map((r) => [r.ids[0], r.state, r.blocks.length]);
      expect(blocks).toEqual([
        ['c', 'running', 5],
        ['a', 'paused', 3],
        ['b', 'paused', 0],
      ]);
      h.core.resume(['a', 'b'] as SequenceId[]);
      await h.runToEnd();
      for (const [id, prompt] of [
        ['a', range(0, 12)],
        ['b', range(20, 12)],
      ] as const) {
        expect(h.texts.get(id)).toEqual(expectedText(prompt, 8, h.vocabSize));
      }
    },
  );

  it('computes a prompt as long as one of its completions is not paused, and for that one only', async () => {
    const h = new CoreHarness({ maxNumBatchedTokens: 4 });
    h.add(['a', 'b'], range(0, 8), 3);
    await h.step();
    h.core.pause(['b'] as SequenceId[]);
    await h.runWhilePossible();
    // The prompt's last row is sampled for both; then only the one goes on.
    expect([h.texts.get('a')?.length, h.texts.get('b')?.length]).toEqual([3, 1]);
    h.core.resume(['b'] as SequenceId[]);
    await h.runToEnd();
    expect(h.texts.get('b')).toEqual(expectedText(range(0, 8), 3, h.vocabSize));
  });

  it('no request starves that is paused after every token, while more come than can be served', async () => {
    const h = new CoreHarness({ maxNumSeqs: 2, numBlocks: 16 });
    h.add('victim', range(0, 9), 6);
    for (let i = 0; !h.finished.has('victim'); i++) {
      expect(i).toBeLessThan(200);
      h.add(`u${i}`, range(i % 7, 9), 5);
      const before = h.texts.get('victim')?.length ?? 0;
      await h.step();
      if ((h.texts.get('victim')?.length ?? 0) > before) h.core.pause(['victim'] as SequenceId[]);
      else h.core.resume(['victim'] as SequenceId[]);
    }
  });

  it('can be let go while paused, and gives its blocks back', async () => {
    const h = new CoreHarness();
    h.add('a', range(0, 8), 12);
    await h.step();
    h.core.pause(['a'] as SequenceId[]);
    expect(h.core.abort('a' as SequenceId)).toBe(true);
    h.scheduler.checkIntegrity();
    expect([h.cache.pool.numUsed, h.scheduler.hasWork]).toEqual([0, false]);
    expect(h.scheduler.resume('a' as SequenceId)).toBe(false);
  });
});

describe('Scheduler, with tiers', () => {
  it('passes over a request that ends after its blocks have arrived', async () => {
    const far = new LateTier(2, true);
    const h = new CoreHarness({ vocabSize: 80, numBlocks: 9, tiers: { places: 8, far: [far] } });
    const drain = async (): Promise<void> => {
      for (let n = 0; n < 10; n++) {
        await h.tiers?.settle();
        await far.tick();
      }
    };
    const prompts = [0, 1, 2, 3].map((i) => range(12 * i, 22));
    for (const [i, prompt] of prompts.entries()) {
      h.add(`fill ${i}`, prompt, 2);
      await h.runToEnd();
      await drain();
    }
    h.add('ends', prompts[0], 2);
    await h.step();
    expect(h.scheduler.progress(9)).toMatchObject([{ ids: ['ends'], state: 'loading' }]);
    await drain();
    h.core.abort('ends' as SequenceId);
    h.add('next', prompts[1], 2);
    await h.runToEnd();
    expect(h.texts.get('next')).toEqual(expectedText(prompts[1], 2, h.vocabSize));
    expect(h.texts.has('ends')).toBe(false);
  });
});
