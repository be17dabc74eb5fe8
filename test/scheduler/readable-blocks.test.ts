import { expect, it } from 'vitest';
import { type CacheGroup, FULL_ATTENTION } from '../../kvcache/cache-group.js';
import { type BlockId, NO_BLOCK } from '../../kvcache/ids.js';
import type { SequenceBlocks } from '../../kvcache/sequence-blocks.js';
import { CoreHarness } from '../support/core-harness.js';
import { range } from '../support/sequences.js';

const BLOCK = 4;
const WINDOW = 6;
const GROUPS: readonly CacheGroup[] = [
  FULL_ATTENTION,
  { kind: 'sliding-window', window: WINDOW },
  { kind: 'recurrent', checkpointBlocks: 2 },
  { kind: 'recurrent', checkpointBlocks: 2 },
];

/** Whether the next token reads what block `index` of a sequence of `length` tokens holds. */
function isRead({ kind }: CacheGroup, index: number, length: number): boolean {
  if (kind === 'full') return true;
  if (kind === 'recurrent') return index === Math.ceil(length / BLOCK) - 1;
  // The next token has the position `length`, and sees itself and those right before it.
  const oldest = length - WINDOW + 1;
  return (index + 1) * BLOCK > oldest;
}

const held = (table: readonly BlockId[]): number[] =>
  table.flatMap((block, i) => (block === NO_BLOCK ? [] : [i]));

it.each([
  { maxNumBatchedTokens: 32, numBlocks: 200, isShort: false },
  // Prompts in pieces, and preempted sequences.
  { maxNumBatchedTokens: 7, numBlocks: 60, isShort: true },
])(
  'after each step, sequences hold what their next token reads, and nothing else: %j',
  async ({ isShort, ...sizes }) => {
    const h = new CoreHarness({ groups: GROUPS, blockSize: BLOCK, vocabSize: 64, ...sizes });
    const all: SequenceBlocks[] = [];
    const { cache } = h;
    const newSequence = cache.newSequence.bind(cache);
    cache.newSequence = (...about) => {
      const sequence = newSequence(...about);
      all.push(sequence);
      return sequence;
    };
    let preempted = 0;
    const release = cache.release.bind(cache);
    cache.release = (sequence, returns) => {
      preempted += Number(returns ?? false);
      release(sequence, returns);
    };
    for (let i = 0; i < 6; i++) h.add(`s${i}`, range(i % 3, 5 + 9 * i), 30);
    let checked = 0;
    while (h.core.hasWork) {
      await h.core.step();
      const used = new Set<BlockId>();
      for (const { tables, numKnown } of all) {
        for (const [g, table] of tables.entries()) {
          const indexes = range(0, table.length);
          expect(held(table)).toEqual(indexes.filter((i) => isRead(GROUPS[g], i, numKnown)));
          for (const block of table) if (block !== NO_BLOCK) used.add(block);
          checked += table.length;
        }
      }
      expect(cache.pool.numUsed).toBe(used.size);
    }
    expect(checked).toBeGreaterThan(1000);
    expect(preempted > 0).toBe(isShort);
    expect(cache.pool.numUsed).toBe(0);
  },
);
