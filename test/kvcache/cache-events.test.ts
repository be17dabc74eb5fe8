import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { rootHash } from '../../kvcache/block-hash.js';
import { type CacheEvent, CacheEventLog } from '../../kvcache/cache-events.js';
import { type CacheGroup, FULL_ATTENTION } from '../../kvcache/cache-group.js';
import type { BlockHash } from '../../kvcache/ids.js';
import { KvCacheManager } from '../../kvcache/kv-cache-manager.js';
import { NO_REUSE_HINT, type SequenceBlocks } from '../../kvcache/sequence-blocks.js';
import { historyOf, range, rootOf } from '../support/sequences.js';

const BLOCK = 4;

function manager(numBlocks: number, groups: readonly CacheGroup[] = [FULL_ATTENTION]) {
  const events = new CacheEventLog(BLOCK, groups);
  const history = historyOf(numBlocks);
  return new KvCacheManager({
    numBlocks,
    blockSize: BLOCK,
    enablePrefixCaching: true,
    groups,
    history,
    events,
  });
}

/** Computes all tokens in steps of `stepTokens`; null when there are too few blocks. */
function compute(
  cache: KvCacheManager,
  tokens: readonly number[],
  sequence = cache.newSequence(rootOf()),
  stepTokens = tokens.length,
): SequenceBlocks | null {
  const prefix = cache.findCachedPrefix(sequence, tokens);
  let computed = prefix?.numTokens ?? 0;
  for (let hits = prefix; computed < tokens.length; hits = null) {
    const end = Math.min(tokens.length, computed + stepTokens);
    if (!cache.reserve(sequence, computed, end, hits)) {
      cache.release(sequence);
      return null;
    }
    cache.commit(sequence, tokens, end);
    cache.truncate(sequence, end);
    computed = end;
  }
  return sequence;
}

function must(sequence: SequenceBlocks | null): SequenceBlocks {
  if (!sequence) throw new Error('too few blocks');
  return sequence;
}

const take = (cache: KvCacheManager): readonly CacheEvent[] => cache.events?.take() ?? [];

describe('events of the prefix cache', () => {
  it('tell stored blocks with their tokens, as one event for a run', () => {
    const cache = manager(10);
    const sequence = must(compute(cache, range(0, 10)));
    expect(take(cache)).toEqual([
      {
        type: 'stored',
        group: 0,
        kind: FULL_ATTENTION,
        index: 0,
        parent: null,
        hashes: sequence.hashes.slice(0, 2),
        tokenIds: range(0, 8),
        scope: { adapter: null, cacheSalt: null },
        contents: [],
      },
    ]);
    expect(take(cache)).toEqual([]);
  });

  it('name the parent of later blocks, and nothing that was cached already', () => {
    const cache = manager(20);
    const first = must(compute(cache, range(0, 9)));
    take(cache);
    const second = must(compute(cache, [...range(0, 8), 50, 51, 52, 53, 54]));
    expect(take(cache)).toMatchObject([
      { index: 2, parent: first.hashes[1], hashes: [second.hashes[2]], tokenIds: [50, 51, 52, 53] },
    ]);
  });

  it('tell evictions before the blocks that take their place', () => {
    const cache = manager(4);
    const old = must(compute(cache, range(0, 12)));
    cache.release(old);
    take(cache);
    const young = must(compute(cache, range(100, 12)));
    expect(take(cache)).toMatchObject([
      // The tail of a chain goes first.
      { type: 'removed', group: 0, hashes: [old.hashes[2], old.hashes[1]] },
      { type: 'stored', hashes: young.hashes.slice(0, 3) },
    ]);
  });

  it('tell a reset, also between blocks of one sequence', () => {
    const cache = manager(8);
    const sequence = must(compute(cache, range(0, 4)));
    cache.release(sequence);
    expect(cache.resetPrefixCache()).toBe(true);
    compute(cache, range(0, 4), sequence);
    expect(take(cache).map(({ type }) => type)).toEqual(['stored', 'cleared', 'stored']);
  });

  it('tell what a sequence must have in common with another to hit its blocks', () => {
    const cache = manager(8);
    const scope = { adapter: 'poet', cacheSalt: 'secret' };
    const root = rootHash({ ...scope, modelFingerprint: 'm', lengthClass: 0 });
    const contents = [{ start: 1, end: 3, key: 'image' }];
    compute(cache, range(0, 4), cache.newSequence(root, contents, NO_REUSE_HINT, scope));
    expect(take(cache)).toMatchObject([{ scope, contents }]);
  });

  it('of groups are apart, with runs of their own', () => {
    const window: CacheGroup = { kind: 'sliding-window', window: 6 };
    const state: CacheGroup = { kind: 'recurrent', checkpointBlocks: 2 };
    const cache = manager(40, [FULL_ATTENTION, window, state]);
    const { hashes } = must(compute(cache, range(0, 17)));
    expect(take(cache)).toMatchObject([
      { group: 0, kind: FULL_ATTENTION, hashes: hashes.slice(0, 4) },
      { group: 1, kind: window, hashes: hashes.slice(0, 4) },
      // Only checkpoints are stored, so nothing continues.
      { group: 2, kind: state, index: 1, parent: hashes[0], hashes: [hashes[1]] },
      { group: 2, kind: state, index: 3, parent: hashes[2], hashes: [hashes[3]] },
    ]);
  });

  it('have the same hashes in every process', () => {
    const [one, other] = [manager(8), manager(30)];
    compute(one, range(0, 9));
    compute(other, range(50, 9));
    compute(other, range(0, 9), undefined, 3);
    const hashes = (events: readonly CacheEvent[]): readonly BlockHash[] =>
      events.flatMap((event) => (event.type === 'stored' ? event.hashes : []));
    expect(hashes(take(other)).slice(2)).toEqual(hashes(take(one)));
  });

  it('let a reader know what lookups find, whatever happens', () => {
    const act = fc.oneof(
      {
        weight: 6,
        arbitrary: fc.record({ chain: fc.nat(5), length: fc.integer({ min: 1, max: 30 }) }),
      },
      { weight: 3, arbitrary: fc.record({ release: fc.nat(3) }) },
      { weight: 1, arbitrary: fc.constant({ reset: true }) },
    );
    const groups: CacheGroup[] = [FULL_ATTENTION, { kind: 'sliding-window', window: 6 }];
    fc.assert(
      fc.property(fc.array(act, { maxLength: 60 }), (acts) => {
        const cache = manager(24, groups);
        const index = groups.map(() => new Set<BlockHash>());
        const running: SequenceBlocks[] = [];
        for (const step of acts) {
          if ('chain' in step) {
            const tokens = [...range(0, 8), ...range(100 * step.chain, step.length)];
            const made = compute(cache, tokens, undefined, 5);
            if (made) running.push(made);
          } else if ('release' in step) {
            for (const sequence of running.splice(step.release, 1)) cache.release(sequence);
          } else {
            cache.resetPrefixCache();
          }
          for (const event of take(cache)) apply(event, index);
          const known = index.map((hashes, group) =>
            [...hashes].every((hash) => cache.pool.lookup(group, hash) !== undefined),
          );
          expect(known).toEqual([true, true]);
          expect(index[0].size + index[1].size).toBe(cache.pool.numCached);
        }
      }),
      { numRuns: 200 },
    );
  });
});

/** What a router does with an event. */
function apply(event: CacheEvent, index: readonly Set<BlockHash>[]): void {
  switch (event.type) {
    case 'stored':
      expect(event.tokenIds).toHaveLength(event.hashes.length * BLOCK);
      for (const hash of event.hashes) index[event.group].add(hash);
      break;
    case 'removed':
      for (const hash of event.hashes) expect(index[event.group].delete(hash)).toBe(true);
      break;
    case 'cleared':
      for (const hashes of index) hashes.clear();
  }
}
