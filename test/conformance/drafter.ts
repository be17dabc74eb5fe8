import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { PLAIN_REQUEST } from '../../engine/protocol/request.js';
import { GREEDY } from '../../engine/sampling/sampling-params.js';
import type {
  DraftedSequence,
  Drafter,
  SequenceDrafter,
} from '../../engine/speculation/drafter.js';
import { samplerOf } from '../../engine/speculation/drafting-sampler.js';
import type { SequenceId, TokenId } from '../../scheduler/ids.js';

export interface DrafterFixture {
  readonly create: () => Drafter;
  /** Computes drafts of this length, where the drafter needs that; absent: it does not. */
  readonly compute?: (
    drafter: Drafter,
    of: readonly SequenceDrafter[],
    length: number,
  ) => Promise<void>;
  /** A text that it has drafts for, and where in the text. */
  readonly prompt: readonly number[];
  readonly output: readonly number[];
  readonly prediction?: readonly number[];
}

const MAX_TOKENS = 60;

/** What every drafter promises. To be called with each. */
export function describeDrafter(name: string, fixture: DrafterFixture): void {
  const { create, compute = () => Promise.resolve(), prompt, output, prediction } = fixture;

  const told = (tokens: readonly number[], shareKey = 'a'): DraftedSequence => {
    const promptTokenIds = tokens as readonly TokenId[];
    const request = {
      ...PLAIN_REQUEST,
      ids: ['a' as SequenceId],
      promptTokenIds,
      maxTokens: MAX_TOKENS,
      stopTokenIds: [],
      sampling: GREEDY,
    };
    return {
      id: 'a' as SequenceId,
      promptTokenIds,
      shareKey,
      cacheSalt: shareKey,
      maxTokens: MAX_TOKENS,
      hasImages: false,
      ...(prediction && { prediction: prediction as TokenId[] }),
      createSampler: (vocabSize) => samplerOf(request, 0, vocabSize),
    };
  };

  describe(`${name}, as any drafter`, () => {
    it('drafts something, as much as it is asked for at most, and the same when asked again', async () => {
      const drafter = create();
      const one = drafter.begin(told(prompt));
      one.extend(output as TokenId[]);
      await compute(drafter, [one], 6);
      const { tokenIds, class: draftClass } = one.draft(6);
      expect(tokenIds.length).toBeGreaterThan(1);
      for (let most = 0; most <= 6; most++) {
        const again = one.draft(most);
        expect(again.tokenIds).toEqual(tokenIds.slice(0, most));
        if (most > 0) expect(again.class).toBe(draftClass);
      }
    });

    it('a text that comes in pieces is drafted like one that comes at once', async () => {
      const drafter = create();
      const [slow, quick] = [drafter.begin(told(prompt)), drafter.begin(told(prompt))];
      for (const token of output) {
        await compute(drafter, [slow, quick], 3);
        slow.draft(3);
        slow.extend([token as TokenId]);
      }
      quick.extend(output as TokenId[]);
      await compute(drafter, [slow, quick], 5);
      expect(slow.draft(5)).toEqual(quick.draft(5));
    });

    it('sequences of other keys, and those that have ended, change nothing', async () => {
      const drafter = create();
      const one = drafter.begin(told(prompt));
      const other = drafter.begin(told([...prompt, 3, 1], 'b'));
      other.extend([...output, 2, 2] as TokenId[]);
      one.extend(output as TokenId[]);
      await compute(drafter, [one, other], 5);
      const before = one.draft(5);
      other.end();
      await compute(drafter, [one], 5);
      expect(one.draft(5)).toEqual(before);
      const alone = create();
      const same = alone.begin(told(prompt));
      same.extend(output as TokenId[]);
      await compute(alone, [same], 5);
      expect(same.draft(5)).toEqual(before);
    });

    it('drafts are a function of what it was told, in whichever order sequences come and go', async () => {
      const event = fc.record({
        pick: fc.nat(),
        kind: fc.constantFrom('begin', 'extend', 'follow', 'compute', 'end'),
        tokens: fc.array(fc.nat({ max: 9 }), { minLength: 1, maxLength: 6 }),
      });
      type Event = typeof event extends fc.Arbitrary<infer Value> ? Value : never;
      const play = async (events: readonly Event[]): Promise<unknown[]> => {
        const drafter = create();
        const live: SequenceDrafter[] = [];
        const drafts: unknown[] = [];
        for (const { kind, pick, tokens } of events) {
          const at = pick % Math.max(1, live.length);
          const one = live[at];
          if (kind === 'begin') live.push(drafter.begin(told(tokens, `${at % 2}`)));
          else if (kind === 'compute') await compute(drafter, live.slice(at), tokens.length);
          else if (kind === 'end') for (const ended of live.splice(at, 1)) ended.end();
          else if (kind === 'extend') one?.extend(tokens as TokenId[]);
          // As a step does that finds the draft right.
          else one?.extend(one.draft(tokens.length).tokenIds);
          for (const each of live) {
            const { tokenIds } = each.draft(8);
            expect(tokenIds.length).toBeLessThanOrEqual(8);
            drafts.push(tokenIds);
          }
        }
        for (const each of live) each.end();
        return drafts;
      };
      await fc.assert(
        fc.asyncProperty(fc.array(event, { maxLength: 30 }), async (events) => {
          expect(await play(events)).toEqual(await play(events));
        }),
        { numRuns: 40 },
      );
    });
  });
}
