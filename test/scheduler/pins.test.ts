import { describe, expect, it } from 'vitest';
import { FULL_ATTENTION } from '../../kvcache/cache-group.js';
import type { SequenceId } from '../../scheduler/ids.js';
import { CoreHarness } from '../support/core-harness.js';
import { expectedText } from '../support/paged-model.js';
import { range } from '../support/sequences.js';

/** A sequence of full length takes 10 of 24 blocks: prefixes may hold 12. */
const SIZES = { numBlocks: 24, blockSize: 4, maxModelLength: 40, vocabSize: 90 };

describe('requests that pin their prompt', () => {
  it('say how many tokens stay, and others find them, with the same texts', async () => {
    const h = new CoreHarness(SIZES);
    h.add('warm', range(0, 22), 0, { pin: 'system' });
    await h.runToEnd();
    expect(h.finished.get('warm')).toMatchObject({
      tokenIds: [],
      finishReason: 'length',
      pinnedTokens: 20,
    });
    for (let i = 0; i < 6; i++) h.add(`flood ${i}`, range(30 + i, 30), 10);
    await h.runToEnd();
    const prompt = [...range(0, 20), 80, 81, 82];
    h.add('user', prompt, 8);
    h.add('salted', prompt, 8, { cacheSalt: 'another' });
    await h.runToEnd();
    expect(h.texts.get('user')).toEqual(expectedText(prompt, 8, 90));
    expect(h.texts.get('salted')).toEqual(expectedText(prompt, 8, 90));
    expect(h.first.get('user')?.cachedTokens).toBe(20);
    expect(h.first.get('salted')?.cachedTokens).toBe(0);
    expect(h.core.stats).toMatchObject({ usedBlocks: 5, pinnedBlocks: 5 });
    expect(h.core.unpin('system')).toBe(true);
    expect(h.core.stats).not.toHaveProperty('pinnedBlocks');
    expect(h.cache.pool.numUsed).toBe(0);
  });

  it('leave room for a request of full length, whatever is pinned', async () => {
    const h = new CoreHarness(SIZES);
    h.add('a', range(0, 24), 0, { pin: 'a' });
    h.add('b', range(30, 24), 0, { pin: 'b' });
    await h.runToEnd();
    expect(() => h.add('c', range(60, 4), 0, { pin: 'c' })).toThrow(
      'Pinned prefixes may hold 12 blocks of the KV cache, and would hold 13 with this one (4 tokens)',
    );
    // The same name, or the same beginning, takes no more.
    h.add('d', range(0, 24), 0, { pin: 'a' });
    h.add('e', range(0, 16), 0, { pin: 'e' });
    await h.runToEnd();
    expect(h.cache.pool.numUsed).toBe(12);
    for (let i = 0; i < 4; i++) h.add(`long ${i}`, range(7 * i + 40, 20), 20);
    await h.runToEnd();
    for (let i = 0; i < 4; i++) {
      expect(h.texts.get(`long ${i}`)).toEqual(expectedText(range(7 * i + 40, 20), 20, 90));
    }
    expect(h.scheduler.numPreemptions).toBeGreaterThan(0);
  });

  it('get no more than fits when they come together', async () => {
    const h = new CoreHarness(SIZES);
    for (const i of [0, 1, 2]) h.add(`${i}`, range(30 * i, 24), 0, { pin: `${i}` });
    await h.runToEnd();
    const pinned = [0, 1, 2].map((i) => h.finished.get(`${i}`)?.pinnedTokens);
    expect(pinned).toEqual([24, 24, 0]);
  });

  it('pin nothing when they are aborted, or prefixes are not cached, or the pool is small', async () => {
    const h = new CoreHarness(SIZES);
    h.add('a', range(0, 24), 0, { pin: 'a' });
    h.core.abort('a' as SequenceId);
    expect(h.core.unpin('a')).toBe(false);
    for (const config of [
      { ...SIZES, enablePrefixCaching: false },
      { ...SIZES, numBlocks: 10 },
      { ...SIZES, numBlocks: 8 },
    ]) {
      const none = new CoreHarness(config);
      expect(() => none.add('a', range(0, 4), 0, { pin: 'a' })).toThrow('may hold 0 blocks');
    }
  });

  it('end with their last whole block, before others can take what a lookup there needs', async () => {
    const h = new CoreHarness({
      ...SIZES,
      groups: [FULL_ATTENTION, { kind: 'sliding-window', window: 6 }],
      numBlocks: 15,
      maxModelLength: 20,
      maxNumBatchedTokens: 2,
      longPrefillThreshold: 1,
    });
    // One token in a step: behind 16 of them, the other one needs a page when none is free.
    h.add('warm', range(0, 19), 0, { pin: 'system' });
    await h.step();
    h.add('other', range(30, 1), 19);
    await h.runToEnd();
    expect(h.finished.get('warm')?.pinnedTokens).toBe(16);
    const steps = h.model.steps.filter(({ sequences: [{ id }] }) => id === 'warm');
    expect(steps).toHaveLength(16);
  });

  it('keep what layers with windows and states need of it', async () => {
    const h = new CoreHarness({
      ...SIZES,
      numBlocks: 60,
      groups: [
        FULL_ATTENTION,
        { kind: 'sliding-window', window: 6 },
        { kind: 'recurrent', checkpointBlocks: 3 },
      ],
    });
    h.add('warm', range(0, 20), 0, { pin: 'system' });
    await h.runToEnd();
    expect(h.finished.get('warm')?.pinnedTokens).toBe(20);
    expect(h.cache.pool.numUsed).toBe(5 + 2 + 1);
    for (let i = 0; i < 12; i++) h.add(`flood ${i}`, range(30 + i, 30), 10);
    await h.runToEnd();
    const prompt = range(0, 23);
    h.add('user', prompt, 8);
    await h.runToEnd();
    expect(h.first.get('user')?.cachedTokens).toBe(20);
    expect(h.texts.get('user')).toEqual(expectedText(prompt, 8, 90));
  });
});
