import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type CacheGroup, FULL_ATTENTION } from '../../kvcache/cache-group.js';
import { CheckpointTree } from '../../kvcache/checkpoint-tree.js';
import type { BlockHash } from '../../kvcache/ids.js';
import { range } from '../support/sequences.js';

const STATES: CacheGroup = { kind: 'recurrent', checkpointBlocks: 1 };
/** K and V, those of a window, and a checkpoint in two pieces. */
const GROUPS = [FULL_ATTENTION, { kind: 'sliding-window', window: 8 } as const, STATES, STATES];
const [FULL, WINDOW, PIECE, OTHER_PIECE] = range(0, GROUPS.length);

/** A text's chain: a content is named by all that stands up to its block, as a hash is. */
const chainOf = (text: string): BlockHash[] =>
  range(1, text.length).map((length) => text.slice(0, length) as BlockHash);

const always = (): boolean => true;

function treeOf(...checkpoints: readonly string[]): CheckpointTree {
  const tree = new CheckpointTree(GROUPS);
  for (const text of checkpoints) tree.add(chainOf(text), text.length - 1);
  tree.checkIntegrity(always);
  return tree;
}

describe('CheckpointTree', () => {
  it('says of a checkpoint what it alone lets skip', () => {
    const tree = treeOf('abc', 'abcdef', 'abcdx');
    expect(tree.span('abc' as BlockHash)).toEqual({ depth: 3, above: 0 });
    expect(tree.span('abcdef' as BlockHash)).toEqual({ depth: 6, above: 3 });
    tree.lost(PIECE, 'abc' as BlockHash);
    expect(tree.span('abcdef' as BlockHash)).toEqual({ depth: 6, above: 0 });
    expect(() => tree.span('abc' as BlockHash)).toThrow('no checkpoint');
  });

  it('loses a checkpoint with any piece, once, and nothing with K and V', () => {
    const tree = treeOf('ab');
    expect(tree.lost(FULL, 'ab' as BlockHash)).toBeNull();
    expect(tree.lost(WINDOW, 'ab' as BlockHash)).toBeNull();
    expect(tree.lost(PIECE, 'a' as BlockHash)).toBeNull();
    expect(tree.lost(OTHER_PIECE, 'ab' as BlockHash)).toEqual(['ab', 'a']);
    expect(tree.lost(PIECE, 'ab' as BlockHash)).toBeNull();
    expect(tree.numCheckpoints).toBe(0);
  });

  it('says what a lookup could use: pieces of checkpoints, K and V before them, and windows', () => {
    const tree = treeOf('ab');
    const useful = (text: string): boolean[] =>
      range(0, GROUPS.length).map((group) => tree.isUseful(group, text as BlockHash));
    expect(useful('ab')).toEqual([true, true, true, true]);
    expect(useful('a')).toEqual([true, true, false, false]);
    expect(useful('abc')).toEqual([false, true, false, false]);
    tree.clear();
    expect(useful('ab')).toEqual([false, true, false, false]);
    tree.checkIntegrity(always);
  });

  it('notices a checkpoint that is not whole', () => {
    const tree = treeOf('ab');
    expect(() => tree.checkIntegrity((group) => group !== OTHER_PIECE)).toThrow('lost a piece');
  });

  it('agrees with a set of texts, under any history', () => {
    const anyText = fc.string({ unit: fc.constantFrom('a', 'b'), minLength: 1, maxLength: 7 });
    const operation = fc.record({ text: anyText, isAdded: fc.boolean() });
    fc.assert(
      fc.property(fc.array(operation, { maxLength: 40 }), (operations) => {
        const tree = new CheckpointTree(GROUPS);
        const texts = new Set<string>();
        const isNeeded = (content: string): boolean =>
          [...texts].some((other) => other.startsWith(content));
        for (const { text, isAdded } of operations) {
          if (isAdded) {
            tree.add(chainOf(text), text.length - 1);
            texts.add(text);
          } else {
            const before = chainOf(text).filter(isNeeded);
            const isLost = texts.delete(text);
            const unneeded = before.filter((content) => !isNeeded(content)).reverse();
            expect(tree.lost(PIECE, text as BlockHash)).toEqual(isLost ? unneeded : null);
          }
          tree.checkIntegrity(always);
          expect(tree.numCheckpoints).toBe(texts.size);
          for (const checkpoint of texts) {
            const others = [...texts].filter((other) => other !== checkpoint);
            const above = Math.max(
              0,
              ...others.filter((o) => checkpoint.startsWith(o)).map((o) => o.length),
            );
            expect(tree.span(checkpoint as BlockHash)).toEqual({
              depth: checkpoint.length,
              above,
            });
          }
        }
      }),
    );
  });
});
