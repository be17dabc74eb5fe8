import { describe, expect, it } from 'vitest';
import {
  SCHEDULING_POLICIES,
  type SchedulingPolicyName,
} from '../../scheduler/policies/scheduling-policy.js';
import { CoreHarness, type HarnessConfig } from '../support/core-harness.js';
import { expectedText } from '../support/paged-model.js';
import { range } from '../support/sequences.js';

// What the policies make of a whole engine; histories.test.ts has any mixture of requests.

/** A harness with a second for each arrival. */
function harness(policy: SchedulingPolicyName, more: HarnessConfig = {}): CoreHarness {
  let time = 0;
  const h = new CoreHarness({ policy, ...more });
  const add = h.scheduler.add.bind(h.scheduler);
  h.scheduler.add = (spec) => add({ ...spec, arrivalTime: (time += 1000) });
  return h;
}

describe.each(SCHEDULING_POLICIES)('scheduling by %s', (policy) => {
  it('changes no text', async () => {
    const h = harness(policy, { maxNumSeqs: 3, numBlocks: 24 });
    const requests = Array.from({ length: 20 }, (_, i) => ({
      prompt: range((7 * i) % 3, 5 + ((5 * i) % 17)),
      maxTokens: 1 + ((7 * i) % 20),
    }));
    for (const [i, { prompt, maxTokens }] of requests.entries()) {
      h.add(`${i}`, prompt, maxTokens, { tenant: `${i % 3}`, priority: i % 4 });
      if (i % 3 === 0) await h.step();
    }
    await h.runToEnd();
    for (const [i, { prompt, maxTokens }] of requests.entries()) {
      expect(h.texts.get(`${i}`)).toEqual(expectedText(prompt, maxTokens, h.vocabSize));
    }
  });

  it.each([0, 0.8])('lets no request starve under sustained load (admission: %s)', async (q) => {
    const h = harness(policy, { maxNumSeqs: 2, numBlocks: 16, admissionQuantile: q });
    h.add('victim', range(40, 9), 30, { priority: 3, tenant: 'victim' });
    let steps = 0;
    // Work that is more urgent, shorter and cached, of new tenants, and more than can be served.
    for (let i = 0; !h.finished.has('victim'); i++) {
      h.add(`u${i}`, range(i % 7, 9), 5, { priority: 0, tenant: `${i}` });
      await h.step();
      expect(++steps).toBeLessThan(600);
    }
  });
});

describe('scheduling by fair shares', () => {
  /** Steps until a light tenant's request has ended, while a heavy one has any number waiting. */
  async function stepsOfLight(policy: SchedulingPolicyName, heavy: number): Promise<number> {
    const h = harness(policy, { maxNumSeqs: 4, numBlocks: 64, maxModelLength: 128 });
    for (let i = 0; i < heavy; i++) h.add(`h${i}`, range(i % 30, 12), 16, { tenant: 'heavy' });
    for (let i = 0; i < 20; i++) await h.step();
    h.add('light', range(35, 12), 16, { tenant: 'light' });
    for (let steps = 1; ; steps++) {
      await h.step();
      if (h.finished.has('light')) return steps;
    }
  }

  it('one heavy tenant delays others by a seat, not by its queue', async () => {
    expect(await stepsOfLight('fair', 0)).toBeLessThanOrEqual(17);
    expect(await stepsOfLight('fair', 100)).toBeLessThanOrEqual(17 + 16);
    expect(await stepsOfLight('fcfs', 100)).toBeGreaterThan(200);
  });

  it('when blocks run out, the tenant with most seats gives up its last', async () => {
    const h = harness('fair', { maxNumSeqs: 4, numBlocks: 28, maxModelLength: 64 });
    const heavy = [0, 1, 2];
    for (const i of heavy) h.add(`h${i}`, range(10 * i, 12), 40, { tenant: 'heavy' });
    await h.step();
    await h.step();
    h.add('light', range(35, 12), 40, { tenant: 'light' });
    await h.runToEnd();
    expect(h.scheduler.numPreemptions).toBeGreaterThan(0);
    // The light one is never preempted, though it came last: no token of it is computed twice.
    const computed = h.model.steps.flatMap(({ sequences }) =>
      sequences.filter(({ id }) => id === 'light').map(({ numComputed }) => numComputed),
    );
    expect(computed).toEqual([...computed].sort((a, b) => a - b));
  });
});

describe('scheduling by the longest prefix', () => {
  it('serves what is cached before what is not, and computes a common beginning once', async () => {
    const h = new CoreHarness({ policy: 'longest-prefix', maxNumSeqs: 1 });
    const prompt = range(0, 20);
    h.add('first', prompt, 2);
    h.add('stranger', range(30, 20), 2);
    h.add('second', prompt, 2);
    await h.runToEnd();
    expect([...h.finished.keys()]).toEqual(['first', 'second', 'stranger']);
    expect(h.finished.get('second')?.cachedTokens).toBe(16);
  });
});

describe('scheduling by the shortest output', () => {
  it('learns which requests have short outputs', async () => {
    const h = new CoreHarness({ policy: 'shortest', maxNumSeqs: 1, maxNumBatchedTokens: 64 });
    for (let i = 0; i < 10; i++) {
      // The model would go on: a stop token ends it.
      const prompt = range(0, 8);
      const [stop] = expectedText(prompt, 1, h.vocabSize);
      h.add(`t${i}`, prompt, 60, { route: 'terse', stopTokenIds: [stop as never] });
      h.add(`w${i}`, range(20, 8), 60, { route: 'wordy' });
    }
    await h.runToEnd(4000);
    h.finished.clear();
    h.add('wordy', range(20, 8), 60, { route: 'wordy' });
    const [stop] = expectedText(range(0, 8), 1, h.vocabSize);
    h.add('terse', range(0, 8), 60, { route: 'terse', stopTokenIds: [stop as never] });
    await h.runToEnd();
    expect([...h.finished.keys()]).toEqual(['terse', 'wordy']);
  });
});

describe('admission by predicted blocks', () => {
  /** Eight outputs as long as they may be, one after another. */
  async function learnLengths(h: CoreHarness, maxTokens = 32): Promise<void> {
    for (let i = 0; i < 8; i++) {
      h.add(`known ${maxTokens} ${i}`, range(20 + i, 12), maxTokens);
      await h.runToEnd();
    }
    expect(h.scheduler.numPreemptions).toBe(0);
    h.model.steps.length = 0;
  }

  /** Eight requests of three blocks at first and eleven at the end, with a memory of 24 blocks. */
  async function run(admissionQuantile: number): Promise<CoreHarness> {
    const h = new CoreHarness({ numBlocks: 24, admissionQuantile, enablePrefixCaching: false });
    await learnLengths(h);
    for (let i = 0; i < 8; i++) h.add(`${i}`, range(i, 12), 32);
    await h.runToEnd();
    for (let i = 0; i < 8; i++) {
      expect(h.texts.get(`${i}`)).toEqual(expectedText(range(i, 12), 32, h.vocabSize));
    }
    return h;
  }

  it('admits no more than will have room, so that none is preempted', async () => {
    expect((await run(0)).scheduler.numPreemptions).toBeGreaterThan(4);
    const kept = await run(0.9);
    expect(kept.scheduler.numPreemptions).toBe(0);
    const widest = Math.max(...kept.model.steps.map(({ sequences }) => sequences.length));
    expect(widest).toBe(2);
  });

  it('keeps no blocks for outputs of which nothing is known', async () => {
    const h = new CoreHarness({ numBlocks: 24, admissionQuantile: 0.9, maxModelLength: 64 });
    for (let i = 0; i < 4; i++) h.add(`${i}`, range(i, 12), 50);
    await h.step();
    await h.step();
    expect(h.scheduler.numRunning).toBe(4);
    await h.runToEnd();
  });

  it('lets one in that finds none running, however large it may become', async () => {
    const h = new CoreHarness({ numBlocks: 12, admissionQuantile: 0.9, maxModelLength: 48 });
    h.add(['a', 'b', 'c'], range(0, 12), 30);
    await h.runToEnd();
    expect(h.finished.size).toBe(3);
  });

  it('lets one in that ends before others need the blocks', async () => {
    const h = new CoreHarness({
      numBlocks: 24,
      admissionQuantile: 0.9,
      enablePrefixCaching: false,
    });
    await learnLengths(h, 32);
    await learnLengths(h, 2);
    for (const id of ['a', 'b']) h.add(id, range(0, 12), 32);
    await h.step();
    await h.step();
    h.add('long', range(1, 12), 32);
    h.add('short', range(1, 12), 2);
    await h.step();
    // The long one is first in line, and would need what the others still need.
    expect(h.scheduler.numRunning).toBe(2);
    h.scheduler.abort('long' as never);
    await h.step();
    expect(h.scheduler.numRunning).toBe(3);
    await h.runToEnd();
    expect(h.scheduler.numPreemptions).toBe(0);
  });

  it('counts blocks that are shared with running sequences once', async () => {
    const h = new CoreHarness({ numBlocks: 20, admissionQuantile: 0.9 });
    const prompt = range(0, 41);
    for (let i = 0; i < 3; i++) h.add(`${i}`, prompt, 8);
    await h.step();
    await h.step();
    expect(h.scheduler.numRunning).toBe(3);
    await h.runToEnd();
    expect(h.scheduler.numPreemptions).toBe(0);
  });
});

describe('a long prompt that is served before others', () => {
  it('leaves each of them a token of the step', async () => {
    const h = new CoreHarness({ policy: 'priority', maxNumBatchedTokens: 8 });
    h.add('a', range(0, 4), 8, { priority: 2 });
    h.add('b', range(10, 4), 8, { priority: 2 });
    await h.step();
    h.add('urgent', range(20, 20), 2, { priority: 0 });
    await h.step();
    await h.step();
    const tokens = h.model.steps.at(-1)?.sequences.map((s) => `${s.id}:${s.tokenIds.length}`);
    expect(tokens).toEqual(['urgent:6', 'a:1', 'b:1']);
  });
});

it('a prompt whose tokens are all scored is computed whole, whatever is cached or in a tier', async () => {
  const h = harness('longest-prefix', { admissionQuantile: 0.5, tiers: { places: 8 } });
  const prompt = range(0, 22);
  h.add('first', prompt, 4);
  await h.runToEnd();
  h.add('scored', prompt, 0, { promptLogprobs: 1 });
  h.add('again', prompt, 4);
  await h.runToEnd();
  expect(h.first.get('scored')?.promptLogprobs).toHaveLength(prompt.length - 1);
  expect(h.finished.get('scored')?.cachedTokens).toBe(0);
  expect(h.finished.get('again')?.cachedTokens).toBe(20);
  expect(h.texts.get('again')).toEqual(expectedText(prompt, 4, h.vocabSize));
});
