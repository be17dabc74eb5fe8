import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type CacheGroup, FULL_ATTENTION } from '../../kvcache/cache-group.js';
import { EVICTION_POLICIES } from '../../kvcache/eviction/create-eviction.js';
import type { SequenceId, TokenId } from '../../scheduler/ids.js';
import { SCHEDULING_POLICIES } from '../../scheduler/policies/scheduling-policy.js';
import type { Propose } from '../../scheduler/step-builder.js';
import { CoreHarness } from '../support/core-harness.js';
import { LateTier } from '../support/late-tier.js';
import { expectedText, nextToken } from '../support/paged-model.js';

const VOCAB = 20;
const arrival = fc.record({
  kind: fc.constant('arrive' as const),
  /** Few families of prompts, so that prefixes are shared. */
  family: fc.nat({ max: 2 }),
  length: fc.integer({ min: 1, max: 40 }),
  maxTokens: fc.integer({ min: 1, max: 20 }),
  completions: fc.integer({ min: 1, max: 3 }),
  priority: fc.nat({ max: 2 }),
  tenant: fc.constantFrom('a', 'b'),
  salt: fc.constantFrom(null, 'tenant'),
});
/** The prompt is pinned under the name, beside another one or in place of one. */
const pin = fc.record({
  kind: fc.constant('pin' as const),
  name: fc.constantFrom('x', 'y'),
  family: fc.nat({ max: 2 }),
  length: fc.integer({ min: 1, max: 30 }),
  salt: fc.constantFrom(null, 'tenant'),
});
const event = fc.oneof(
  { arbitrary: arrival, weight: 3 },
  { arbitrary: pin, weight: 1 },
  {
    arbitrary: fc.record({ kind: fc.constant('unpin' as const), name: fc.constantFrom('x', 'y') }),
    weight: 1,
  },
  { arbitrary: fc.record({ kind: fc.constant('abort' as const), pick: fc.nat() }), weight: 1 },
  { arbitrary: fc.record({ kind: fc.constant('pause' as const), pick: fc.nat() }), weight: 2 },
  { arbitrary: fc.record({ kind: fc.constant('resume' as const), pick: fc.nat() }), weight: 1 },
  {
    arbitrary: fc.record({
      kind: fc.constant('steps' as const),
      count: fc.integer({ min: 1, max: 6 }),
    }),
    weight: 2,
  },
);
const config = fc.record({
  policy: fc.constantFrom(...SCHEDULING_POLICIES),
  admissionQuantile: fc.constantFrom(0, 0, 0.5, 0.9),
  numBlocks: fc.integer({ min: 15, max: 40 }),
  blockSize: fc.constantFrom(4, 5),
  maxNumSeqs: fc.integer({ min: 1, max: 6 }),
  maxNumBatchedTokens: fc.integer({ min: 1, max: 40 }),
  longPrefillThreshold: fc.constantFrom(0, 7),
  enablePrefixCaching: fc.boolean(),
  eviction: fc.constantFrom(...EVICTION_POLICIES),
  /**
   * Beyond these, the model computes a sequence otherwise: nothing that was written before may be
   * read.
   */
  switchLengths: fc.constantFrom([], [16], [12, 30]),
  /**
   * Layers that see all of the past, alone or beside ones that do not, or that keep a state of it.
   */
  groups: fc.constantFrom<readonly CacheGroup[]>(
    [FULL_ATTENTION],
    [FULL_ATTENTION, { kind: 'sliding-window', window: 6 }],
    [FULL_ATTENTION, { kind: 'sliding-window', window: 1 }, { kind: 'sliding-window', window: 13 }],
    [FULL_ATTENTION, { kind: 'recurrent', checkpointBlocks: 1 }],
    [
      FULL_ATTENTION,
      { kind: 'sliding-window', window: 6 },
      { kind: 'recurrent', checkpointBlocks: 3 },
    ],
  ),
  /** Without it, a shared block is computed again. (States need it.) */
  canCopyBlocks: fc.boolean(),
  /** Tokens that are guessed at a time, at most; some of the guesses are wrong. */
  mostProposed: fc.constantFrom(0, 0, 2, 5),
  /** Behind the pages: memory for so many contents, and a tier that answers after so many steps. */
  tiers: fc.constantFrom(
    null,
    { places: 6, late: null },
    { places: 60, late: null },
    { places: 8, late: 0 },
    { places: 40, late: 1 },
    { places: 20, late: 4 },
    { places: 30, late: 1, keeps: 'reused' as const },
    { places: 6, late: 0, copiesLate: true },
    { places: 30, late: 1, keeps: 'reused' as const, copiesLate: true },
  ),
});

/** A prompt of a family: all prompts of a family are prefixes of one another. */
function prompt(family: number, length: number): number[] {
  return Array.from({ length }, (_, i) => (i * 7 + family * 3) % VOCAB);
}

describe('any history of requests', () => {
  // Arrivals, aborts, pauses, forks, preemptions, hits: after any of these, each completed text is
  // what the model gives alone, no paused sequence gets a token, paused sequences starve no others,
  // integrity holds after every step (the harness checks), and in the end no block is in use but
  // those of pinned prefixes, which are found.
  it('gives each request its own text and all blocks back', async () => {
    let loads = 0;
    let found = 0;
    await fc.assert(
      fc.asyncProperty(
        config,
        fc.array(event, { maxLength: 40, size: 'max' }),
        async (settings, events) => {
          const prompts = new Map<string, number[]>();
          const propose: Propose = (id, most) => {
            const context = [...(prompts.get(id) ?? []), ...(h.texts.get(id) ?? [])];
            const count = Math.min(most, settings.mostProposed);
            return Array.from({ length: count }, () => {
              const isWrong = context.length % 4 === 0;
              context.push((nextToken(context, VOCAB) + (isWrong ? 1 : 0)) % VOCAB);
              return context[context.length - 1] as TokenId;
            });
          };
          const { tiers: behind, ...others } = settings;
          const hasStates = settings.groups.some(({ kind }) => kind === 'recurrent');
          if (hasStates) others.canCopyBlocks = true;
          const far = behind === null || behind.late === null ? [] : [new LateTier(behind.late)];
          const h = new CoreHarness({
            ...others,
            ...(behind && { tiers: { ...behind, far } }),
            // Tiers are asked where the pages are few and the prompts many.
            numBlocks: (behind ? 16 : settings.numBlocks) * settings.groups.length,
            maxModelLength: 64,
            vocabSize: VOCAB,
            propose,
          });
          const expected = new Map<string, number[]>();
          const aborted = new Set<string>();
          const siblings = new Set<string>();
          const paused = new Map<string, number>();
          const pinning = new Map<
            string,
            { name: string; tokens: number[]; salt: string | null }
          >();
          const pinned = new Map<string, { tokens: number[]; salt: string | null }>();
          const notePins = (): void => {
            for (const [id, { pinnedTokens = 0 }] of h.finished) {
              const { name, tokens, salt } = pinning.get(id) ?? {};
              if (!pinning.delete(id) || pinnedTokens === 0) continue;
              // A prompt fits with all of its whole blocks, or not at all.
              const { length } = tokens as number[];
              expect([id, pinnedTokens]).toEqual([id, length - (length % settings.blockSize)]);
              pinned.set(name as string, {
                tokens: (tokens as number[]).slice(0, pinnedTokens),
                salt: salt ?? null,
              });
            }
          };
          const written = (id: string): number => h.texts.get(id)?.length ?? 0;
          const pick = (n: number): SequenceId | undefined =>
            [...expected.keys()][n % expected.size] as SequenceId | undefined;
          const expectPaused = (): void => {
            for (const [id, length] of paused) {
              // The last row of a prompt that is computed for a sibling gives all of them their
              // first token.
              const mayBegin = length === 0 && written(id) === 1 && siblings.has(id);
              expect([id, written(id)]).toEqual([id, mayBegin ? 1 : length]);
            }
          };
          for (const [i, e] of events.entries()) {
            if (e.kind === 'arrive') {
              const ids = Array.from({ length: e.completions }, (_, k) => `${i}.${k}`);
              const tokens = prompt(behind ? e.family + 3 * (i % 3) : e.family, e.length);
              h.add(ids, tokens, e.maxTokens, {
                priority: e.priority,
                cacheSalt: e.salt,
                tenant: e.tenant,
              });
              if (ids.length > 1) for (const id of ids) siblings.add(id);
              for (const id of ids) prompts.set(id, tokens);
              for (const id of ids) expected.set(id, expectedText(tokens, e.maxTokens, VOCAB));
            } else if (e.kind === 'pin') {
              const tokens = prompt(e.family, e.length);
              const { name, salt } = e;
              try {
                h.add(`${i}`, tokens, 0, { pin: name, cacheSalt: salt });
              } catch (error) {
                expect(error).toMatchObject({ kind: 'pinned_prefixes_full' });
                continue;
              }
              pinning.set(`${i}`, { name, tokens, salt });
              expected.set(`${i}`, []);
            } else if (e.kind === 'unpin') {
              notePins();
              expect(h.core.unpin(e.name)).toBe(pinned.delete(e.name));
              h.scheduler.checkIntegrity();
            } else if (e.kind === 'steps') {
              for (let s = 0; s < e.count; s++) await h.step();
              expectPaused();
            } else {
              const id = pick(e.pick);
              if (id === undefined) continue;
              if (e.kind === 'abort' && h.core.abort(id)) {
                aborted.add(id);
                paused.delete(id);
              } else if (e.kind === 'pause' && h.scheduler.pause(id)) {
                paused.set(id, written(id));
              } else if (e.kind === 'resume') {
                const wasPaused = paused.delete(id) && !h.finished.has(id);
                expect(h.scheduler.resume(id)).toBe(wasPaused);
              }
              h.scheduler.checkIntegrity();
            }
          }
          await h.runWhilePossible(20_000);
          expectPaused();
          // No other sequence has waited for the paused ones.
          for (const id of expected.keys()) {
            const ends = h.finished.has(id) || aborted.has(id) || paused.has(id);
            expect([id, ends]).toEqual([id, true]);
          }
          h.core.resume([...paused.keys()] as SequenceId[]);
          await h.runToEnd(20_000);
          for (const [id, text] of expected) {
            if (!aborted.has(id)) expect(h.texts.get(id)).toEqual(text);
          }
          notePins();
          expect(h.cache.pool.numUsed).toBe(h.cache.pins.users().size);
          expect(h.cache.pins.numBlocks).toBe(h.cache.pins.users().size);
          for (const [name, { tokens, salt }] of pinned) {
            const classOf = (length: number): number =>
              settings.switchLengths.filter((limit) => length > limit).length;
            // The computation was longer, up to a block.
            const isOfOneClass = classOf(tokens.length + 1) === classOf(tokens.length + 5);
            h.add(`find ${name}`, [...tokens, 1], 1, { cacheSalt: salt });
            await h.runToEnd();
            if (!isOfOneClass || classOf(tokens.length) !== classOf(tokens.length + 1)) continue;
            const cached = h.first.get(`find ${name}`)?.cachedTokens;
            expect([name, cached]).toEqual([name, tokens.length]);
            found += 1;
          }
          for (const name of pinned.keys()) expect(h.core.unpin(name)).toBe(true);
          expect(h.cache.pool.numUsed).toBe(0);
          for (let i = 0; i < 20; i++) for (const tier of far) await tier.tick();
          await h.tiers?.settle();
          for (let i = 0; i < 20; i++) for (const tier of far) await tier.tick();
          expect(h.memory?.numPinned ?? 0).toBe(0);
          for (const { blockLoads } of h.model.steps) loads += blockLoads?.length ?? 0;
          expect(h.cache.resetPrefixCache()).toBe(true);
        },
      ),
      { numRuns: 200 },
    );
    expect(loads).toBeGreaterThan(50);
    expect(found).toBeGreaterThan(20);
  });
});
