import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { SequenceId, TokenId } from '../../scheduler/ids.js';
import { wholeEnd } from '../../scheduler/pieces.js';
import type { PromptContent } from '../../scheduler/sequence.js';
import type { Propose } from '../../scheduler/step-builder.js';
import type { StepPlan } from '../../scheduler/step-plan.js';
import { CoreHarness, type HarnessConfig } from '../support/core-harness.js';
import { range } from '../support/sequences.js';

const image = (start: number, end: number): PromptContent => ({
  start,
  end,
  key: `${start}`,
  isBidirectional: true,
});

/** Requests with images, run by the scheduler alone. */
class Run {
  readonly h: CoreHarness;
  readonly plans: StepPlan[] = [];
  readonly #contents = new Map<string, readonly PromptContent[]>();
  readonly #propose: Propose | undefined;

  constructor({ propose, ...config }: HarnessConfig) {
    this.#propose = propose;
    this.h = new CoreHarness(config);
  }

  add(id: string, promptTokens: number, contents: readonly PromptContent[], maxTokens = 4) {
    this.#contents.set(id, contents);
    const first = 1000 * this.#contents.size;
    return this.h.scheduler.add({
      ids: [id as SequenceId],
      maxTokens,
      stopTokenIds: [],
      priority: 0,
      cacheSalt: null,
      promptTokenIds: range(first, promptTokens) as TokenId[],
      contents,
      arrivalTime: 0,
      adapter: null,
      computesWholePrompt: false,
    });
  }

  /** One step. @returns tokens by sequence; null when nothing runs */
  step(): Record<string, number> | null {
    const { scheduler } = this.h;
    const plan = scheduler.schedule(this.#propose);
    if (!plan) return null;
    this.plans.push(plan);
    for (const { id, numComputed, tokenIds } of plan.sequences) {
      const end = numComputed + tokenIds.length;
      const cut = this.#contents.get(id)?.find((one) => one.start < end && end < one.end);
      if (cut) throw new Error(`${id} ends at ${end}, in ${cut.start} to ${cut.end}`);
    }
    const updates = plan.sequences.flatMap(({ sampledFor }) =>
      sampledFor.map((id) => ({ id, tokenIds: [7 as TokenId] })),
    );
    const pieces = plan.sequences.map(({ id, tokenIds }) => [id, tokenIds.length] as const);
    scheduler.apply(plan, updates);
    scheduler.checkIntegrity();
    return Object.fromEntries(pieces);
  }
}

describe('the end of a piece', () => {
  const contents = [image(4, 10), { start: 12, end: 20, key: 'x' }];
  it.each([
    ['before an image', 0, 4, 4],
    ['in an image that began in the piece', 0, 7, 4],
    ['in an image with which the piece begins', 4, 7, 10],
    ['in an image whose beginning is cached', 6, 7, 10],
    ['behind an image', 4, 10, 10],
    ['in what may be cut', 10, 15, 15],
  ])('%s', (_, begin, end, expected) => {
    expect(wholeEnd(contents, begin, end)).toBe(expected);
  });
});

describe('an image whose tokens see each other', () => {
  it('is computed in one step, longer than other pieces of prompts may be', () => {
    const run = new Run({ maxNumBatchedTokens: 16, maxNumSeqs: 2, longPrefillThreshold: 4 });
    expect(run.add('a', 20, [image(6, 16)])).toBeNull();
    const steps = [run.step(), run.step(), run.step(), run.step()];
    expect(steps).toEqual([4, 2, 10, 4].map((a) => ({ a })));
  });

  it('waits for a step with room, which the next one keeps from prompts before it', () => {
    const run = new Run({ maxNumBatchedTokens: 12, maxNumSeqs: 3, longPrefillThreshold: 5 });
    run.add('a', 30, []);
    run.add('b', 14, [image(2, 12)]);
    expect(run.step()).toEqual({ a: 5, b: 2 });
    expect(run.step()).toEqual({ a: 5 });
    expect(run.step()).toEqual({ a: 1, b: 10 });
    expect(run.step()).toEqual({ a: 5, b: 2 });
  });

  it('waits so before it runs, too', () => {
    const run = new Run({ maxNumBatchedTokens: 12, maxNumSeqs: 3, longPrefillThreshold: 5 });
    run.add('a', 30, []);
    run.add('b', 14, [image(0, 10)]);
    run.add('c', 14, []);
    expect(run.step()).toEqual({ a: 5 });
    expect(run.step()).toEqual({ a: 2, b: 10 });
  });

  it('has its room kept from proposals', () => {
    let isEager = false;
    // As many as it may.
    const propose: Propose = (_, most) => range(1, isEager ? most : 0) as TokenId[];
    const run = new Run({ maxNumBatchedTokens: 12, maxNumSeqs: 3, propose });
    run.add('a', 8, [], 40);
    run.add('b', 14, [image(2, 12)]);
    expect(run.step()).toEqual({ a: 8, b: 2 });
    isEager = true;
    expect(run.step()).toEqual({ a: 11 });
    expect(run.step()).toEqual({ a: 1, b: 11 });
  });

  it('is refused when other requests could always leave too little room', () => {
    const run = new Run({ maxNumBatchedTokens: 12, maxNumSeqs: 4 });
    expect(run.add('a', 14, [image(0, 10)])).toEqual({ reason: 'step', tokens: 10, limit: 9 });
    expect(run.add('b', 14, [image(0, 9)])).toBeNull();
    expect(run.add('c', 14, [{ start: 0, end: 10, key: 'x' }])).toBeNull();
  });

  it('is never cut, and never waits for ever', () => {
    const request = fc.record({
      text: fc.integer({ min: 1, max: 9 }),
      images: fc.array(fc.integer({ min: 2, max: 8 }), { maxLength: 3 }),
      maxTokens: fc.integer({ min: 1, max: 6 }),
      delay: fc.nat({ max: 6 }),
    });
    const config = fc.record({
      maxNumBatchedTokens: fc.integer({ min: 11, max: 20 }),
      longPrefillThreshold: fc.constantFrom(0, 1, 5),
      numBlocks: fc.integer({ min: 22, max: 40 }),
      enablePrefixCaching: fc.boolean(),
    });
    fc.assert(
      fc.property(
        fc.array(request, { minLength: 1, maxLength: 7 }),
        config,
        fc.nat({ max: 3 }),
        (requests, given, proposed) => {
          const propose: Propose = (_, most) => range(1, Math.min(most, proposed)) as TokenId[];
          const run = new Run({ ...given, maxNumSeqs: 4, maxModelLength: 80, propose });
          const late = requests.map((one, i) => ({
            ...one,
            id: String.fromCharCode(97 + (i % 3)) + i,
          }));
          for (let steps = 0; late.length > 0 || run.h.scheduler.hasWork; steps++) {
            if (steps > 400) throw new Error('it does not end');
            while (late[0] && late[0].delay <= steps) {
              const { id, text, images, maxTokens } = late.shift() as (typeof late)[number];
              let at = text;
              const contents = images.map((size) => {
                const content = image(at, at + size);
                at = content.end + 1;
                return content;
              });
              expect(run.add(id, at + text, contents, maxTokens)).toBeNull();
            }
            run.step();
          }
        },
      ),
      { numRuns: 150, seed: 20261201 },
    );
  });
});
