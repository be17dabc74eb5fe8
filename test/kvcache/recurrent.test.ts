import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type CacheGroup, FULL_ATTENTION } from '../../kvcache/cache-group.js';
import {
  EVICTION_POLICIES,
  type EvictionPolicyName,
} from '../../kvcache/eviction/create-eviction.js';
import { type BlockId, NO_BLOCK } from '../../kvcache/ids.js';
import { KvCacheManager } from '../../kvcache/kv-cache-manager.js';
import type { SequenceBlocks } from '../../kvcache/sequence-blocks.js';
import { historyOf, range, rootOf } from '../support/sequences.js';

const BLOCK = 4;

const states = (checkpointBlocks: number): CacheGroup => ({ kind: 'recurrent', checkpointBlocks });

function manager(
  numBlocks: number,
  groups: readonly CacheGroup[],
  eviction: EvictionPolicyName = 'lru',
): KvCacheManager {
  const history = historyOf(numBlocks);
  const sizes = { numBlocks, blockSize: BLOCK, groups };
  return new KvCacheManager({ ...sizes, enablePrefixCaching: true, history, eviction });
}

/** Computes all of a sequence, in one step. */
function compute(cache: KvCacheManager, tokens: readonly number[], root = rootOf()) {
  const sequence = cache.newSequence(root);
  const prefix = cache.findCachedPrefix(sequence, tokens);
  cache.reserve(sequence, prefix?.numTokens ?? 0, tokens.length, prefix);
  cache.commit(sequence, tokens, tokens.length);
  expect(cache.truncate(sequence, tokens.length)).toBe(tokens.length);
  return sequence;
}

const hits = (cache: KvCacheManager, tokens: readonly number[]): number =>
  cache.findCachedPrefix(cache.newSequence(rootOf()), tokens)?.numTokens ?? 0;

const held = (table: readonly BlockId[]): number[] =>
  table.flatMap((block, i) => (block === NO_BLOCK ? [] : [i]));

describe('a recurrent group', () => {
  it('holds one state of a sequence, and leaves checkpoints behind for others', () => {
    const cache = manager(30, [FULL_ATTENTION, states(2)]);
    const sequence = compute(cache, range(0, 21));
    expect(held(sequence.tables[0])).toEqual([0, 1, 2, 3, 4, 5]);
    expect(held(sequence.tables[1])).toEqual([5]);
    expect(cache.pool.numUsed).toBe(7);
    cache.checkIntegrity([sequence]);
    // A hit ends at a checkpoint, behind 8 or 16 tokens, or behind the last full block.
    expect([8, 9, 15, 16, 17, 20, 21].map((length) => hits(cache, range(0, length)))).toEqual([
      0, 8, 8, 8, 16, 16, 20,
    ]);
    cache.release(sequence);
    expect(cache.pool.numUsed).toBe(0);
  });

  it('gives a hit the state at its end alone', () => {
    const cache = manager(30, [FULL_ATTENTION, states(1)]);
    const first = compute(cache, range(0, 16));
    const last = first.tables[1].at(-1);
    cache.release(first);
    const second = compute(cache, range(0, 18));
    expect(held(second.tables[1])).toEqual([4]);
    const third = cache.findCachedPrefix(cache.newSequence(rootOf()), range(0, 17));
    expect(third?.tables[1]).toEqual([NO_BLOCK, NO_BLOCK, NO_BLOCK, last]);
  });

  it('loses checkpoints as other content, and a hit then ends at an earlier one', () => {
    const cache = manager(8, [states(1)]);
    cache.release(compute(cache, range(0, 14)));
    // The one behind 8 tokens is used again, and so outlives the one behind 12.
    cache.release(compute(cache, [...range(0, 8), 99]));
    const found = [hits(cache, range(0, 14))];
    for (let other = 0; other < 8; other++) {
      compute(cache, [100 + other], rootOf('other'));
      found.push(hits(cache, range(0, 14)));
    }
    expect([...new Set(found)]).toEqual([12, 8, 0]);
    cache.pool.checkIntegrity();
  });

  it('holds no more than maxHeldBlocks says, at any length, step and distance of checkpoints', () => {
    for (let every = 1; every <= 4; every++) {
      for (let stepTokens = 1; stepTokens <= 19; stepTokens++) {
        for (let length = 1; length <= 40; length++) {
          const cache = manager(20, [states(every)]);
          const sequence = cache.newSequence(rootOf());
          let most = 0;
          for (let computed = 0; computed < length; ) {
            const end = Math.min(length, computed + stepTokens);
            expect(cache.reserve(sequence, computed, end)).toEqual([]);
            most = Math.max(most, cache.pool.numUsed);
            computed = cache.truncate(sequence, end);
          }
          expect(most).toBeLessThanOrEqual(cache.maxHeldBlocks(length, stepTokens));
        }
      }
    }
    // The state before a step and the one after it; and between them every third block's, and the
    // last full one's.
    expect(manager(9, [states(1)]).maxHeldBlocks(64, 1)).toBe(2);
    expect(manager(9, [states(3)]).maxHeldBlocks(64, 32)).toBe(5);
    expect(manager(9, [states(9)]).maxHeldBlocks(64, 32)).toBe(4);
  });

  /** Generates tokens one by one, up to a length. @param after called after each step */
  function generate(
    cache: KvCacheManager,
    sequence: SequenceBlocks,
    [from, to]: readonly [number, number],
    after: (length: number) => void = () => undefined,
  ): void {
    for (let length = from + 1; length <= to; length++) {
      expect(cache.reserve(sequence, length - 1, length)).toEqual([]);
      cache.commit(sequence, range(0, length), length);
      cache.truncate(sequence, length);
      after(length);
    }
  }

  it('keeps of checkpoints between generated tokens the newest, and some at a distance', () => {
    const cache = manager(30, [FULL_ATTENTION, states(4)]);
    const sequence = compute(cache, range(0, 9));
    generate(cache, sequence, [9, 30]);
    // Behind the prompt's last full block, the fourth block, and the newest one.
    const found = range(1, 30).map((length) => hits(cache, range(0, length)));
    expect([...new Set(found)]).toEqual([0, 8, 16, 28]);
    // Of K and V, all is cached.
    expect(cache.pool.numCached).toBe(7 + 3);
    cache.checkIntegrity([sequence]);
    cache.release(sequence);
    expect(cache.pool.numUsed).toBe(0);
  });

  it('keeps a checkpoint between generated tokens that another sequence uses, or has used', () => {
    const cache = manager(40, [FULL_ATTENTION, states(9)]);
    const sequence = compute(cache, range(0, 5));
    const others: SequenceBlocks[] = [];
    generate(cache, sequence, [5, 30], (length) => {
      // While the one behind 12 tokens is the newest, and the one behind 20.
      if (length !== 14 && length !== 22) return;
      const other = compute(cache, [...range(0, length - 1), 99]);
      if (length === 14) cache.release(other);
      else others.push(other);
    });
    const found = range(1, 30).map((length) => hits(cache, range(0, length)));
    expect([...new Set(found)]).toEqual([0, 4, 12, 20, 28]);
    cache.checkIntegrity([sequence, ...others]);
  });

  it('has nothing to give up where checkpoints were evicted, or are not cached', () => {
    const cache = manager(4, [states(9)]);
    const sequence = compute(cache, range(0, 5));
    generate(cache, sequence, [5, 14]);
    for (let other = 0; other < 4; other++) {
      cache.release(compute(cache, [100 + other], rootOf('other')));
    }
    expect(hits(cache, range(0, 14))).toBe(12);
    for (const tokens of [range(50, 9), range(70, 9)]) cache.release(compute(cache, tokens));
    expect(hits(cache, range(0, 14))).toBe(0);
    generate(cache, sequence, [14, 30]);
    expect(hits(cache, range(0, 30))).toBe(28);
    const history = historyOf(3);
    const config = { numBlocks: 3, blockSize: BLOCK, enablePrefixCaching: false, history };
    const plain = new KvCacheManager({ ...config, groups: [states(9)] });
    const own = plain.newSequence(rootOf());
    generate(plain, own, [0, 30]);
    expect(plain.pool.numCached).toBe(0);
  });

  it('copies the state of a fork before it is written, but not one that is a checkpoint', () => {
    const cache = manager(20, [states(1)]);
    const parent = compute(cache, range(0, 6));
    const child = cache.fork(parent);
    const [from] = parent.tables[0].slice(-1);
    expect(cache.reserve(child, 6, 7)).toEqual([{ from, to: child.tables[0][1] }]);
    expect(cache.reserve(parent, 6, 7)).toEqual([]);
    cache.checkIntegrity([parent, child]);

    const other = compute(cache, range(50, 8));
    const sibling = cache.fork(other);
    expect(cache.reserve(sibling, 8, 9)).toEqual([]);
    expect(cache.reserve(other, 8, 9)).toEqual([]);
    expect(sibling.tables[0][1]).toBe(other.tables[0][1]);
    expect(sibling.tables[0][2]).not.toBe(other.tables[0][2]);
    cache.checkIntegrity([parent, child, other, sibling]);
  });

  it('keeps no state of proposals: those that were accepted are computed again', () => {
    const cache = manager(20, [FULL_ATTENTION, states(1)]);
    expect(cache.canComputeAgain).toBe(false);
    const tokens = range(0, 7);
    const sequence = cache.newSequence(rootOf());
    // Seven known tokens and six proposals, of which four are right.
    expect(cache.reserve(sequence, 0, 13, null, 6)).toEqual([]);
    cache.commit(sequence, tokens, 7);
    expect(sequence.tables.map(({ length }) => length)).toEqual([4, 2]);
    expect(cache.truncate(sequence, 11)).toBe(7);
    expect(sequence.tables.map(held)).toEqual([[0, 1, 2], [1]]);
    cache.checkIntegrity([sequence]);
  });
});

const sequenceNumber = fc.nat({ max: 5 });
const operation = fc.oneof(
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('begin'), family: fc.nat({ max: 2 }) }) },
  {
    weight: 5,
    arbitrary: fc.record({
      kind: fc.constant('step'),
      pick: sequenceNumber,
      known: fc.integer({ min: 1, max: 14 }),
      proposed: fc.nat({ max: 4 }),
      accepted: fc.nat({ max: 4 }),
    }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('fork'), pick: sequenceNumber }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('preempt'), pick: sequenceNumber }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('end'), pick: sequenceNumber }) },
);
type Operation = typeof operation extends fc.Arbitrary<infer T> ? T : never;

interface Live {
  readonly blocks: SequenceBlocks;
  /** What its tokens are drawn from: a fork goes on otherwise than its parent. */
  salt: number;
  tokens: number[];
  computed: number;
}

/**
 * A cache beside a plain model of it: for each block the tokens that its state stands for, as a
 * text.
 */
class Model {
  readonly cache: KvCacheManager;
  readonly #group: number;
  readonly #contents = new Map<BlockId, string>();
  #live: Live[] = [];
  #salts = 100;

  constructor(groups: readonly CacheGroup[], numBlocks: number, eviction: EvictionPolicyName) {
    this.cache = manager(numBlocks, groups, eviction);
    this.#group = groups.findIndex(({ kind }) => kind === 'recurrent');
  }

  do(op: Operation): void {
    if (op.kind === 'begin') {
      const blocks = this.cache.newSequence(rootOf());
      this.#live.push({ blocks, salt: op.family, tokens: [], computed: 0 });
    } else {
      const live = this.#live[op.pick % this.#live.length];
      if (!live) return;
      if (op.kind === 'step') this.#step(live, op.known, op.proposed, op.accepted);
      else if (op.kind === 'fork') this.#fork(live);
      else this.#leave(live, op.kind === 'end');
    }
    this.cache.checkIntegrity(this.#live.map(({ blocks }) => blocks));
  }

  end(): void {
    for (const { blocks } of this.#live) this.cache.release(blocks);
    same(this.cache.pool.numUsed, 0);
  }

  #step(live: Live, known: number, proposed: number, accepted: number): void {
    const { cache } = this;
    const { blocks } = live;
    while (live.tokens.length < live.computed + known) this.#append(live);
    const prefix = live.computed === 0 ? cache.findCachedPrefix(blocks, live.tokens) : null;
    const start = prefix?.numTokens ?? live.computed;
    const end = Math.min(live.tokens.length, start + known);
    const before = cache.pool.numFree;
    const copies = cache.reserve(blocks, start, end + proposed, prefix, proposed);
    if (!copies) {
      same(cache.pool.numFree, before);
      return;
    }
    for (const { from, to } of copies) this.#contents.set(to, this.#contents.get(from) ?? '');
    cache.commit(blocks, live.tokens, end);
    if (start > 0) same(this.#contents.get(this.#blockAt(live, start)), text(live, start));
    for (let n = start + 1; n <= end; n++) {
      const block = this.#blockAt(live, n);
      if ((n === end || n % BLOCK === 0) && block !== NO_BLOCK) {
        this.#contents.set(block, text(live, n));
      }
    }
    live.computed = cache.truncate(blocks, end + Math.min(proposed, accepted));
    same(live.computed, end);
    same(held(blocks.tables[this.#group]), [Math.ceil(end / BLOCK) - 1]);
  }

  #fork(live: Live): void {
    const { tokens, computed } = live;
    const blocks = this.cache.fork(live.blocks);
    // With all of its tokens, computed or not: their hashes are known.
    this.#live.push({ blocks, salt: this.#salts++, tokens: [...tokens], computed });
  }

  #leave(live: Live, isEnd: boolean): void {
    this.cache.release(live.blocks);
    live.computed = 0;
    if (isEnd) this.#live = this.#live.filter((other) => other !== live);
  }

  #append({ tokens, salt }: Live): void {
    tokens.push((tokens.length * 7 + salt * 13) % 1000);
  }

  #blockAt({ blocks }: Live, numTokens: number): BlockId {
    return blocks.tables[this.#group][Math.ceil(numTokens / BLOCK) - 1];
  }
}

function same(actual: unknown, expected: unknown): void {
  expect(actual).toEqual(expected);
}

const text = ({ tokens }: Live, length: number): string => tokens.slice(0, length).join();

it('a sequence always goes on from the state behind exactly its tokens, under any history', () => {
  fc.assert(
    fc.property(
      fc.constantFrom(
        [states(1)],
        [FULL_ATTENTION, states(1)],
        [FULL_ATTENTION, { kind: 'sliding-window' as const, window: 6 }, states(3)],
        [FULL_ATTENTION, states(2), states(2)],
      ),
      fc.constantFrom(...EVICTION_POLICIES),
      fc.integer({ min: 12, max: 60 }),
      fc.array(operation, { maxLength: 60 }),
      (groups, eviction, numBlocks, operations) => {
        const model = new Model(groups, numBlocks, eviction);
        for (const op of operations) model.do(op);
        model.end();
      },
    ),
    { numRuns: 300 },
  );
});
