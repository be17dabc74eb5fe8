import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { BlockHistory } from '../../../kvcache/block-history.js';
import { type CacheGroup, FULL_ATTENTION } from '../../../kvcache/cache-group.js';
import { CheckpointTree } from '../../../kvcache/checkpoint-tree.js';
import { CheckpointValueEviction } from '../../../kvcache/eviction/checkpoint-value.js';
import {
  createEviction,
  EVICTION_POLICIES,
  type EvictionPolicyName,
} from '../../../kvcache/eviction/create-eviction.js';
import type { EvictionPolicy } from '../../../kvcache/eviction/eviction-policy.js';
import { type BlockHash, type BlockId, NO_BLOCK } from '../../../kvcache/ids.js';
import { KvCacheManager } from '../../../kvcache/kv-cache-manager.js';
import { describeEvictionPolicy } from '../../conformance/eviction-policy.js';
import { historyOf, range, rootOf } from '../../support/sequences.js';

const BLOCK = 4;
const PIECES = 3;
const states = (checkpointBlocks: number): CacheGroup => ({ kind: 'recurrent', checkpointBlocks });
const GROUPS = [FULL_ATTENTION, ...range(0, PIECES).map(() => states(3))];
const FIRST_PIECE = 1;

/** Blocks count the same, wherever they stand. */
const costOf = (from: number, to: number): number => to - from;

describeEvictionPolicy(
  'CheckpointValueEviction',
  (numBlocks, history) =>
    new CheckpointValueEviction(numBlocks, history, new CheckpointTree([FULL_ATTENTION]), costOf),
);

interface Parts {
  readonly cache: KvCacheManager;
  readonly history: BlockHistory;
  readonly policy: EvictionPolicy;
}

function partsOf(numBlocks: number, name: EvictionPolicyName = 'cost-aware'): Parts {
  const history = historyOf(numBlocks);
  const checkpoints = new CheckpointTree(GROUPS);
  const policy =
    name === 'cost-aware'
      ? new CheckpointValueEviction(numBlocks, history, checkpoints, costOf)
      : createEviction(name, { numBlocks, blockSize: BLOCK, history, checkpoints });
  const config = { numBlocks, blockSize: BLOCK, enablePrefixCaching: true, history };
  const cache = new KvCacheManager({ ...config, groups: GROUPS, eviction: policy, checkpoints });
  return { cache, history, policy };
}

/** A conversation up to here: its prompt in one step. @returns cached tokens; null: no room */
function compute(cache: KvCacheManager, tokens: readonly number[]): number | null {
  const sequence = cache.newSequence(rootOf());
  const prefix = cache.findCachedPrefix(sequence, tokens);
  const cached = prefix?.numTokens ?? 0;
  if (!cache.reserve(sequence, cached, tokens.length, prefix)) return null;
  cache.commit(sequence, tokens, tokens.length);
  cache.truncate(sequence, tokens.length);
  cache.release(sequence);
  cache.checkIntegrity([]);
  return cached;
}

const hits = (cache: KvCacheManager, tokens: readonly number[]): number =>
  cache.findCachedPrefix(cache.newSequence(rootOf()), tokens)?.numTokens ?? 0;

describe('CheckpointValueEviction', () => {
  it('keeps what lets skip much, through a flood of what lets skip little', () => {
    const { cache } = partsOf(60);
    const long = range(1000, 81);
    compute(cache, long);
    for (let i = 0; i < 8; i++) compute(cache, range(10_000 * (i + 1), 9));
    // The last checkpoint lets skip no more than one of the flood.
    expect(hits(cache, long)).toBe(72);
    // Least recently used first, it would be gone.
    const { cache: plain } = partsOf(60, 'lru');
    compute(plain, long);
    for (let i = 0; i < 8; i++) compute(plain, range(10_000 * (i + 1), 9));
    expect(hits(plain, long)).toBe(0);
  });

  it('gives up in the end what is not used any more, however long it is', () => {
    const { cache } = partsOf(60);
    const long = range(1000, 81);
    compute(cache, long);
    for (let i = 0; i < 200; i++) compute(cache, range(10_000 * (i + 1), 9));
    expect(hits(cache, long)).toBe(0);
  });

  it('gives up K and V with the last checkpoint that needs them, and not before', () => {
    const { cache, policy } = partsOf(40);
    const text = range(1000, 29);
    compute(cache, text);
    const { pool } = cache;
    // Behind blocks 3, 6 and 7; each is three blocks.
    expect(pool.numCached).toBe(7 + 3 * PIECES);
    const left: number[] = [];
    for (let taken = 0; taken < 40; taken++) {
      pool.allocate({ group: 0, position: 0, parent: NO_BLOCK });
      if (left.at(-1) !== pool.numCached) left.push(pool.numCached);
    }
    // The one behind 7 goes with one block of K and V.
    expect(left).toEqual([7 + 3 * PIECES, 6 + 2 * PIECES, 6 + PIECES, 0]);
    expect(policy.size).toBe(0);
  });

  it('ranks K and V of a window as blocks of their own', () => {
    const history = historyOf(3);
    const groups: CacheGroup[] = [{ kind: 'sliding-window', window: 8 }, states(1)];
    const dear = (from: number, to: number): number => to - from + from;
    const tree = new CheckpointTree(groups);
    const policy = new CheckpointValueEviction(3, history, tree, dear);
    for (const [block, position] of [4, 0, 2].entries()) {
      const id = block as BlockId;
      history.allocated(id, { group: 0, position, parent: NO_BLOCK }, false);
      history.cached(id, `content ${block}` as BlockHash);
      policy.add(id, true);
    }
    expect([...policy]).toEqual([1, 2, 0]);
    policy.remove(2 as BlockId);
    expect(policy.takeNext()).toBe(1);
  });

  it('takes K and V that a running text needs only where nothing else is free', () => {
    const { cache } = partsOf(30);
    const tokens = range(1000, 17);
    const [first, second] = [17, 8].map((length) => {
      const sequence = cache.newSequence(rootOf());
      expect(cache.reserve(sequence, 0, length)).toEqual([]);
      return { sequence, length };
    });
    for (const { sequence, length } of [first, second]) {
      cache.commit(sequence, tokens, length);
      cache.truncate(sequence, length);
    }
    // What is found is the state of the second, behind K and V of the first.
    cache.release(first.sequence);
    cache.checkIntegrity([second.sequence]);
    const left: number[] = [];
    while (cache.pool.numFree > 0) {
      cache.pool.allocate({ group: 0, position: 0, parent: NO_BLOCK });
      cache.pool.checkIntegrity();
      left.push(cache.pool.numCached);
    }
    expect(left.slice(-3)).toEqual([2 + PIECES, 1 + PIECES, PIECES]);
    expect(hits(cache, tokens)).toBe(0);
  });
});

const request = fc.record({
  family: fc.nat({ max: 2 }),
  /** Where the text leaves that of its family. */
  branch: fc.nat({ max: 24 }),
  length: fc.integer({ min: 1, max: 40 }),
  salt: fc.nat({ max: 3 }),
});

const textOf = ({ family, branch, length, salt }: { [key: string]: number }): number[] =>
  range(0, length).map((i) => 1000 * family + i + (i >= branch ? 100_000 * (salt + 1) : 0));

const isPrefix = (chain: readonly BlockHash[], of: readonly BlockHash[]): boolean =>
  chain.every((content, i) => of[i] === content);

/** Free checkpoints by their first piece, with their ranks from the list of all of them. */
function plainRanks(
  { cache, history, policy }: Parts,
  ages: ReadonlyMap<BlockId, number>,
  chains: ReadonlyMap<BlockHash, readonly BlockHash[]>,
): Map<BlockId, number> {
  const all = [...chains.values()].filter(
    (chain) => cache.pool.lookup(FIRST_PIECE, chain[chain.length - 1]) !== undefined,
  );
  const ranks = new Map<BlockId, number>();
  for (const block of policy) {
    const hash = cache.pool.hashOf(block);
    if (hash === null || history.group(block) !== FIRST_PIECE) continue;
    const chain = chains.get(hash) as readonly BlockHash[];
    const before = all.filter((other) => other.length < chain.length && isPrefix(other, chain));
    const above = Math.max(0, ...before.map(({ length }) => length));
    const saved = costOf(above, chain.length) / (PIECES + chain.length - above);
    ranks.set(block, (ages.get(block) ?? 0) + history.uses(block) * saved);
  }
  return ranks;
}

it('takes the checkpoint that saves least per byte, as a plain model of it has it', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 24, max: 60 }),
      fc.array(request, { maxLength: 25 }),
      (numBlocks, requests) => {
        const parts = partsOf(numBlocks);
        const { cache, policy, history } = parts;
        const ages = new Map<BlockId, number>();
        /** The largest since they became free. */
        const most = new Map<BlockId, number>();
        const chains = new Map<BlockHash, readonly BlockHash[]>();
        let age = 0;
        const [add, takeNext] = [policy.add.bind(policy), policy.takeNext.bind(policy)];
        policy.add = (block, isCached) => {
          add(block, isCached);
          if (!isCached || history.group(block) !== FIRST_PIECE) return;
          ages.set(block, age);
          most.set(block, plainRanks(parts, ages, chains).get(block) as number);
        };
        policy.takeNext = () => {
          const now = plainRanks(parts, ages, chains);
          for (const [block, rank] of now) most.set(block, Math.max(rank, most.get(block) ?? 0));
          const taken = takeNext();
          const rank = now.get(taken);
          if (rank === undefined) return taken;
          age = Math.max(age, rank);
          for (const other of now.keys()) {
            expect(rank).toBeLessThanOrEqual((most.get(other) ?? 0) + 1e-9);
          }
          return taken;
        };
        for (const asked of requests) {
          const text = textOf(asked);
          const sequence = cache.newSequence(rootOf());
          const prefix = cache.findCachedPrefix(sequence, text);
          if (!cache.reserve(sequence, prefix?.numTokens ?? 0, text.length, prefix)) continue;
          cache.commit(sequence, text, text.length);
          for (const [i, hash] of sequence.hashes.entries()) {
            chains.set(hash, sequence.hashes.slice(0, i + 1));
          }
          cache.truncate(sequence, text.length);
          cache.release(sequence);
          cache.checkIntegrity([]);
        }
      },
    ),
    { numRuns: 150 },
  );
});

it.each(EVICTION_POLICIES)('%s keeps checkpoints whole, and no K and V that none needs', (name) => {
  fc.assert(
    fc.property(fc.array(request, { maxLength: 25 }), (requests) => {
      const { cache } = partsOf(40, name);
      // `checkIntegrity` sees both, after each request.
      for (const asked of requests) compute(cache, textOf(asked));
      expect(cache.resetPrefixCache()).toBe(true);
      expect(cache.pool.numFree).toBe(40);
    }),
    { numRuns: 50 },
  );
});
