import { describe, expect, it } from 'vitest';
import { fullRowsOf } from '../../engine/decoding/logits-query.js';
import type { SequenceId, TokenId } from '../../scheduler/ids.js';
import type { RequestSpec } from '../../scheduler/sequence.js';
import { CoreHarness } from '../support/core-harness.js';
import { expectedText } from '../support/paged-model.js';
import { range } from '../support/sequences.js';

const VOCAB = 50;
const PROMPT = range(0, 22);

/** Runs requests one after the other, without the engine core. @returns their texts and hits */
class Runs {
  readonly h = new CoreHarness({ vocabSize: VOCAB });
  #count = 0;

  async run(more: Partial<RequestSpec>): Promise<{ text: number[]; cachedTokens: number }> {
    const { scheduler, model } = this.h;
    const id = `${this.#count++}` as SequenceId;
    scheduler.add({
      ids: [id],
      promptTokenIds: PROMPT as TokenId[],
      maxTokens: 5,
      stopTokenIds: [],
      priority: 0,
      arrivalTime: 0,
      cacheSalt: null,
      computesWholePrompt: false,
      ...more,
    });
    const text: number[] = [];
    for (;;) {
      const plan = scheduler.schedule();
      if (!plan) throw new Error('nothing runs');
      const [{ adapter }] = plan.sequences;
      if (adapter !== (more.adapter?.contentHash ?? null))
        throw new Error(`planned with ${adapter}`);
      const { fullLogits } = await model.execute(plan, fullRowsOf(plan));
      const token = fullLogits.indexOf(Math.max(...fullLogits)) as TokenId;
      const [applied] = scheduler.apply(plan, [{ id, tokenIds: [token] }]);
      scheduler.checkIntegrity();
      text.push(...applied.tokenIds);
      if (applied.finishReason !== null) return { text, cachedTokens: applied.cachedTokens };
    }
  }
}

const TEXT = expectedText(PROMPT, 5, VOCAB);

const adapterOf = (content: string) => ({ name: 'any', contentHash: content });

describe('an adapter', () => {
  // The model throws when it reads a page that another adapter has written.
  it('has prefixes of its own, and the plan says whose rows are whose', async () => {
    const runs = new Runs();
    const hits: number[] = [];
    for (const adapter of [null, 'red', 'blue', 'red', null, 'blue']) {
      const { text, cachedTokens } = await runs.run({
        adapter: adapter === null ? null : adapterOf(adapter),
      });
      expect(text).toEqual(TEXT);
      hits.push(cachedTokens);
    }
    expect(hits).toEqual([0, 0, 0, 20, 20, 20]);
  });

  it('is kept apart from a salt of the same name', async () => {
    const runs = new Runs();
    await runs.run({ adapter: adapterOf('x') });
    expect((await runs.run({ cacheSalt: 'x' })).cachedTokens).toBe(0);
    expect((await runs.run({ adapter: adapterOf('x'), cacheSalt: 'x' })).cachedTokens).toBe(0);
  });
});

describe('an image behind placeholder tokens', () => {
  const image = (key: string) => [{ start: 9, end: 13, key }];

  it('keeps prefixes apart from the block in which it begins, and is a hit when it is the same', async () => {
    const runs = new Runs();
    const hits: number[] = [];
    for (const hash of ['cat', 'dog', 'cat', 'dog']) {
      hits.push((await runs.run({ contents: image(hash) })).cachedTokens);
    }
    // The text before the image is common: two blocks of four tokens.
    expect(hits).toEqual([0, 8, 20, 20]);
    expect((await runs.run({})).cachedTokens).toBe(8);
  });
});
