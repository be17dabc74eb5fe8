import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { PLAIN_REQUEST } from '../../../engine/protocol/request.js';
import { GREEDY } from '../../../engine/sampling/sampling-params.js';
import type { Drafter } from '../../../engine/speculation/drafter.js';
import { NgramDrafter, SuffixDrafter } from '../../../engine/speculation/lookup-drafters.js';
import { OutputArchive } from '../../../engine/speculation/output-archive.js';
import { Speculator } from '../../../engine/speculation/speculator.js';
import { StepCosts } from '../../../engine/speculation/step-costs.js';
import type { SequenceId, TokenId } from '../../../scheduler/ids.js';
import { PROPOSE_NOTHING } from '../../../scheduler/step-builder.js';
import { CoreHarness } from '../../support/core-harness.js';

const BOUNDS = { least: 2, longest: 8 };
/** More rows cost nothing: whatever can be drafted is computed. */
const FREE = new StepCosts([
  { rows: 1, ms: 1 },
  { rows: 1000, ms: 1 },
]);
const CPU = new StepCosts([
  { rows: 1, ms: 14 },
  { rows: 8, ms: 26 },
  { rows: 64, ms: 115 },
]);
const ID = 'a' as SequenceId;
const ALONE = { rows: 1, sequences: 1 };

const speculator = (drafter: Drafter | null, costs = FREE): Speculator =>
  new Speculator({ drafter, maxDraftTokens: 8, costs, now: () => 0 });

const request = (prompt: readonly number[], prediction?: readonly number[]) => ({
  ids: [ID],
  promptTokenIds: prompt as TokenId[],
  maxTokens: 100,
  stopTokenIds: [],
  sampling: GREEDY,
  ...PLAIN_REQUEST,
  ...(prediction && { prediction: prediction as TokenId[] }),
});

/** Tells one token after another, as a decoder does. @returns what was proposed before each */
function tell(of: Speculator, text: readonly number[]): (readonly TokenId[])[] {
  return text.map((token) => {
    const proposed = of.propose(ID, 8, ALONE);
    of.decided(ID, proposed, [token as TokenId]);
    of.endStep();
    return proposed;
  });
}

describe('drafts', () => {
  it('from the prompt and the own output', () => {
    const own = speculator(new NgramDrafter(BOUNDS));
    own.begin(ID, request([1, 2, 3, 4, 5, 1, 2]));
    expect(own.propose(ID, 8, ALONE)).toEqual([3, 4, 5, 1, 2]);
    expect(own.propose(ID, 2, ALONE)).toEqual([3, 4]);
    tell(own, [7, 7, 8, 7, 7]);
    expect(own.propose(ID, 8, ALONE)).toEqual([8, 7, 7]);
    own.end(ID);
    expect(own.propose).toBe(PROPOSE_NOTHING);
  });

  it('from outputs that have ended, only of prompts that begin alike', () => {
    const own = speculator(new SuffixDrafter(BOUNDS, new OutputArchive(2, 1000)));
    own.begin(ID, request([1, 2, 3]));
    tell(own, [10, 11, 12, 13]);
    own.end(ID);
    own.begin(ID, request([1, 2, 3]));
    tell(own, [10, 11]);
    expect(own.propose(ID, 8, ALONE)).toEqual([12, 13]);
    own.end(ID);
    own.begin(ID, { ...request([1, 2, 3]), cacheSalt: 'other' });
    tell(own, [10, 11]);
    expect(own.propose(ID, 8, ALONE)).toEqual([]);
  });

  it('from the prediction of the client, without any method', () => {
    const own = speculator(null);
    own.begin('b' as SequenceId, request([1]));
    expect(own.propose).toBe(PROPOSE_NOTHING);
    own.begin(ID, request([1, 2], [20, 21, 22, 23, 24, 25, 26]));
    expect(own.propose(ID, 3, ALONE)).toEqual([20, 21, 22]);
    expect(own.decided(ID, [20, 21, 22] as TokenId[], [20, 99] as TokenId[])).toEqual({
      accepted: 1,
      rejected: 2,
    });
    // It has departed, and comes back.
    expect(own.propose(ID, 8, ALONE)).toEqual([]);
    tell(own, [22, 23, 24]);
    expect(own.propose(ID, 8, ALONE)).toEqual([25, 26]);
    expect(own.stats).toMatchObject({ drafts: 1, draftTokens: 3 });
    expect(own.stats.acceptedAt.slice(0, 2)).toEqual([1, 0]);
  });
});

describe('whether drafting pays', () => {
  it('stops where drafts are wrong, and goes on where the text repeats itself', () => {
    const own = speculator(new NgramDrafter({ least: 1, longest: 8 }), CPU);
    own.begin(ID, request([]));
    // After 1 comes another token each time.
    const wild = Array.from({ length: 120 }, (_, i) => (i % 2 === 0 ? 1 : 100 + i));
    const proposed = tell(own, wild).map((tokens) => tokens.length);
    expect(proposed.slice(-60).reduce((a, b) => a + b)).toBe(0);
    const song = Array.from({ length: 90 }, (_, i) => 50 + (i % 30));
    expect(tell(own, song).at(-1)?.length).toBe(8);
  });

  it('the simulated time of texts of any regularity is never much longer than without', () => {
    const regular = fc.record({
      repeats: fc.double({ min: 0, max: 1, noNaN: true }),
      batch: fc.constantFrom(1, 4, 16, 32),
      seed: fc.nat(),
    });
    fc.assert(
      fc.property(regular, ({ repeats, batch, seed }) => {
        const own = speculator(new NgramDrafter(BOUNDS), CPU);
        own.begin(ID, request([]));
        const text = regularText(1500, repeats, seed);
        // The others of the batch draft as much as this one: what it gains or loses, each does.
        let [at, ms] = [0, 0];
        while (at < text.length) {
          const proposed = own.propose(ID, text.length - at - 1, { rows: batch, sequences: batch });
          let right = 0;
          while (right < proposed.length && proposed[right] === text[at + right]) right += 1;
          own.decided(ID, proposed, text.slice(at, at + right + 1) as TokenId[]);
          own.endStep();
          ms += CPU.of(batch * (1 + proposed.length));
          at += right + 1;
        }
        expect(ms / (text.length * CPU.of(batch))).toBeLessThan(1.02);
      }),
      { numRuns: 40 },
    );
  });
});

it('any drafts leave the texts as they are', async () => {
  const prompts = fc.array(fc.array(fc.nat({ max: 5 }), { minLength: 1, maxLength: 12 }), {
    minLength: 1,
    maxLength: 4,
  });
  await fc.assert(
    fc.asyncProperty(prompts, fc.integer({ min: 12, max: 40 }), async (all, numBlocks) => {
      const texts = async (proposer?: Speculator): Promise<unknown> => {
        const harness = new CoreHarness({
          vocabSize: 6,
          numBlocks,
          maxModelLength: 40,
          ...(proposer && { proposer }),
        });
        for (const [i, prompt] of all.entries()) harness.add(`${i}`, prompt, 20);
        await harness.runToEnd();
        return all.map((_, i) => harness.texts.get(`${i}`));
      };
      const archive = new OutputArchive(1, 1000);
      const drafting = speculator(new SuffixDrafter({ least: 1, longest: 8 }, archive));
      expect(await texts(drafting)).toEqual(await texts());
    }),
    { numRuns: 40 },
  );
});

/** @param repeats share of the text that says again what it has said */
function regularText(length: number, repeats: number, seed: number): number[] {
  let state = seed;
  const random = (): number => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
  const text: number[] = [];
  while (text.length < length) {
    const from = Math.floor(random() * text.length);
    const again = text.length > 50 && random() < repeats;
    const piece = again
      ? text.slice(from, from + 20)
      : Array.from({ length: 10 }, () => Math.floor(random() * 60));
    text.push(...piece);
  }
  return text.slice(0, length);
}
