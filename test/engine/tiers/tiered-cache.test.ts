import { describe, expect, it } from 'vitest';
import { LoadTimes } from '../../../engine/tiers/load-times.js';
import { type CacheGroup, FULL_ATTENTION } from '../../../kvcache/cache-group.js';
import type { SequenceId } from '../../../scheduler/ids.js';
import { CoreHarness } from '../../support/core-harness.js';
import { LateTier } from '../../support/late-tier.js';
import { expectedText } from '../../support/paged-model.js';
import { range } from '../../support/sequences.js';

const VOCAB = 80;
const PROMPTS = [0, 1, 2, 3].map((i) => range(12 * i, 22));

/** A pool for one prompt and its text, behind it memory for few contents and a tier for all. */
function harness(ticks: number, patienceMs = 60_000) {
  const far = new LateTier(ticks);
  const h = new CoreHarness({
    numBlocks: 9,
    maxModelLength: 36,
    vocabSize: VOCAB,
    tiers: { places: 10, far: [far], patienceMs },
  });
  const ask = async (name: string, i: number): Promise<number> => {
    h.add(name, PROMPTS[i], 4);
    await h.runToEnd();
    expect(h.texts.get(name)).toEqual(expectedText(PROMPTS[i], 4, VOCAB));
    return h.first.get(name)?.cachedTokens ?? 0;
  };
  /** Until all has been written. */
  const drain = async (): Promise<void> => {
    for (let n = 0; n < 10; n++) {
      await h.tiers?.settle();
      await far.tick();
    }
  };
  const fill = async (): Promise<void> => {
    for (const i of PROMPTS.keys()) await ask(`fill ${i}`, i);
    await drain();
  };
  return { h, far, ask, fill, drain };
}

describe('tiers behind the pages', () => {
  it('give back what the pages have lost, and say how much of it', async () => {
    const { h, far, ask, fill, drain } = harness(1);
    await fill();
    const cached = await ask('again', 0);
    expect(cached).toBeGreaterThanOrEqual(12);
    expect(h.first.get('again')?.tierTokens).toBe(cached);
    expect(far.loaded).toBeGreaterThan(0);
    await drain();
    expect(h.memory?.numPinned).toBe(0);
  });

  it('let others run while one waits for its blocks', async () => {
    const { h, far } = harness(1000);
    for (const i of PROMPTS.keys()) {
      h.add(`fill ${i}`, PROMPTS[i], 4);
      // The tier answers nothing: it is asked in vain, and the cancelled request leaves nothing.
      for (let n = 0; n < 3; n++) await h.step();
      expect(h.core.stats).toMatchObject({ loading: 1, waiting: 1, running: 0 });
      expect(h.core.snapshot().requests[0].state).toBe('loading');
      expect(h.core.abort(`fill ${i}` as SequenceId)).toBe(true);
      expect(h.core.stats).toMatchObject({ loading: 0, waiting: 0 });
    }
    h.add('waits', PROMPTS[0], 4);
    await h.step();
    h.add('short', range(0, 3), 4);
    for (let n = 0; n < 6; n++) await h.step();
    expect(h.texts.get('short')).toEqual(expectedText(range(0, 3), 4, VOCAB));
    expect(h.finished.has('waits')).toBe(false);
    expect(h.memory?.numPinned).toBe(0);
    expect(far.loaded).toBe(0);
  });

  it('are not waited for longer than patience lasts', async () => {
    const { h } = harness(1_000_000, 20);
    h.add('a', PROMPTS[0], 4);
    // A timer counts from the beginning of its turn of the event loop.
    await new Promise((resolve) => setImmediate(resolve));
    const start = performance.now();
    while (h.core.hasWork) {
      await h.step();
      if (h.core.stats.loading > 0) await h.core.whenReady();
    }
    expect(performance.now() - start).toBeGreaterThanOrEqual(15);
    expect(h.texts.get('a')).toEqual(expectedText(PROMPTS[0], 4, VOCAB));
  });

  it('forget a paused sequence that waits, and ask again when it goes on', async () => {
    const { h, fill, far, drain } = harness(2);
    await fill();
    const id = 'again' as SequenceId;
    h.add(id, PROMPTS[0], 4);
    await h.step();
    expect(h.core.stats.loading).toBe(1);
    h.core.pause([id]);
    expect(h.core.stats).toMatchObject({ loading: 0, paused: 1 });
    for (let n = 0; n < 5; n++) await far.tick();
    h.core.resume([id]);
    await h.runToEnd();
    expect(h.texts.get(id)).toEqual(expectedText(PROMPTS[0], 4, VOCAB));
    expect(h.first.get(id)?.tierTokens).toBeGreaterThan(0);
    await drain();
    expect(h.memory?.numPinned).toBe(0);
  });

  it('let go of what was near for a sequence that is aborted', async () => {
    const { h, fill, drain } = harness(2);
    await fill();
    // The last prompts are in memory, as far as they are not in the pages.
    for (const [i, prompt] of PROMPTS.entries()) h.add(`x${i}`, prompt, 4);
    await h.step();
    expect(h.memory?.numPinned).toBeGreaterThan(0);
    for (const i of PROMPTS.keys()) h.core.abort(`x${i}` as SequenceId);
    await drain();
    expect(h.memory?.numPinned).toBe(0);
    h.scheduler.checkIntegrity();
  });

  it('forget all when they are cleared, what is still to be written, too', async () => {
    const { h, fill, far, ask } = harness(1);
    await fill();
    expect(await ask('before', 0)).toBeGreaterThanOrEqual(12);
    expect(h.core.resetPrefixCache()).toBe(true);
    const cleared = h.core.clearTiers();
    for (let n = 0; n < 5; n++) await far.tick();
    expect(await cleared).toEqual([]);
    expect([far.contents.size, h.memory?.stats.blocks]).toEqual([0, 0]);
    expect(await ask('after', 0)).toBe(0);
  });

  it('are named when they cannot be cleared', async () => {
    const { h, fill, far } = harness(1);
    await fill();
    far.isUp = false;
    expect(await h.core.clearTiers()).toEqual(['disk']);
    expect(h.memory?.stats.blocks).toBe(0);
  });

  it('load one content once for sequences that begin alike', async () => {
    const { h, fill, far } = harness(3);
    await fill();
    const before = far.loaded;
    for (const name of ['a', 'b']) h.add(name, PROMPTS[0], 2);
    await h.runToEnd();
    expect(h.texts.get('b')).toEqual(expectedText(PROMPTS[0], 2, VOCAB));
    expect(far.loaded - before).toBeLessThanOrEqual(5);
  });
});

describe('a tier that servers share', () => {
  /** Servers with a pool for one prompt each, and one tier for all of them. */
  function servers(groups: readonly CacheGroup[] = [FULL_ATTENTION]) {
    const far = new LateTier(0, true);
    const start = () => {
      const tiers = { places: 30, far: [far], keeps: 'reused' as const };
      const sizes = { numBlocks: 28, maxModelLength: 52, vocabSize: VOCAB };
      return new CoreHarness({ ...sizes, groups, tiers });
    };
    const ask = async (h: CoreHarness, name: string, prompt: readonly number[]) => {
      h.add(name, prompt, 6);
      await h.runToEnd();
      for (let n = 0; n < 4; n++) {
        await h.tiers?.settle();
        await far.tick();
      }
      const text = h.texts.get(name) ?? [];
      expect(text).toEqual(expectedText(prompt, 6, VOCAB));
      return { text, cached: h.first.get(name)?.cachedTokens ?? 0 };
    };
    return { far, start, ask };
  }

  it.each([
    { groups: [FULL_ATTENTION] },
    { groups: [FULL_ATTENTION, { kind: 'recurrent', checkpointBlocks: 1 } as const] },
  ])(
    'has a conversation from its second turn on, whichever server has its turns: %j',
    async ({ groups }) => {
      const { start, ask } = servers(groups);
      const prompt = range(0, 12);
      const cached: number[] = [];
      // No server has two turns.
      for (let n = 0; n < 4; n++) {
        const answer = await ask(start(), `turn ${n}`, prompt.slice());
        cached.push(answer.cached);
        prompt.push(...answer.text, 60 + 2 * n, 61 + 2 * n);
      }
      // Of prompts of 12, 20, 28 and 36 tokens; a turn has 8.
      expect(cached).toEqual([0, 0, 24, 32]);
    },
  );

  it('has none of what only one prompt holds, and what two begin with', async () => {
    const { far, start, ask } = servers();
    const [a, b] = [start(), start()];
    const system = range(0, 12);
    await ask(a, 'a', [...system, ...range(20, 10)]);
    expect(far.stored).toEqual([]);
    await ask(b, 'b', [...system, ...range(40, 10)]);
    // Three blocks of four tokens: the question that follows is each one's own.
    expect(far.stored.length).toBe(3);
    const { cached } = await ask(start(), 'c', [...system, ...range(60, 10)]);
    expect(cached).toBe(12);
  });
});

describe('what enters the hash of a content besides its tokens', () => {
  it.each([
    { adapter: 'poet' },
    { cacheSalt: 'secret' },
    { contents: [{ key: 'image', start: 0, end: 4 }] },
  ])('%j: tiers have nothing of others', async (keys) => {
    const far = new LateTier(0, true);
    const tiers = { places: 30, far: [far] };
    const start = () =>
      new CoreHarness({ numBlocks: 9, maxModelLength: 36, vocabSize: VOCAB, tiers });
    // The scheduler knows adapters and contents; requests of the engine have a salt only.
    const ask = async (h: CoreHarness, more: object): Promise<number> => {
      h.add('a', PROMPTS[0], 4, more);
      await h.runToEnd();
      // Others take its pages.
      for (const i of [1, 2, 3]) {
        h.add(`${i}`, PROMPTS[i], 4);
        await h.runToEnd();
      }
      for (let n = 0; n < 10; n++) {
        await h.tiers?.settle();
        await far.tick();
      }
      return h.first.get('a')?.cachedTokens ?? 0;
    };
    expect(await ask(start(), {})).toBe(0);
    expect(await ask(start(), keys)).toBe(0);
    expect([await ask(start(), keys), await ask(start(), {})]).toEqual([20, 20]);
  });
});

describe('whether loading is quicker', () => {
  it('is tried first, then measured, and tried again now and then', () => {
    const times = new LoadTimes();
    const part = { tier: 'disk' as const, bytes: 1000 };
    expect(times.isQuicker([part], 16)).toBe(true);
    times.computed(4, 1000);
    expect(times.computeMs(10)).toBeNull();
    times.computed(100, 50);
    expect(times.computeMs(10)).toBe(5);
    expect(times.isQuicker([part], 16)).toBe(true);
    times.loaded(part, 9);
    expect(times.isQuicker([part], 16)).toBe(false);
    expect(times.isQuicker([part], 19)).toBe(true);
    expect(times.isQuicker([part, { tier: 'redis', bytes: 1 }], 16)).toBe(false);
    const tries = Array.from({ length: 32 }, () => times.isQuicker([part], 16));
    expect(tries.filter(Boolean).length).toBe(2);
    times.loaded({ tier: 'disk', bytes: 0 }, 100);
    for (let i = 0; i < 20; i++) times.loaded(part, 1);
    expect(times.isQuicker([part], 16)).toBe(true);
  });
});
