import { describe, expect, it } from 'vitest';
import { type CacheSizes, numBlocksIn, planCache } from '../../../engine/recurrent/cache-plan.js';
import { maxHeldBlocks } from '../../../kvcache/cache-group.js';
import { plainLayer } from '../../support/attention-cases.js';

const SIZES: CacheSizes = {
  blockSize: 16,
  kvDtype: 'f32',
  maxModelLength: 8192,
  maxNumBatchedTokens: 512,
};

const many = <T>(count: number, value: T): T[] => Array.from({ length: count }, () => value);
const states = (count: number, floats: number) => many(count, { stateBytes: 4 * floats });

/**
 * LFM2 1.2B: 6 of 16 layers attend; the others keep two tokens of a short convolution, 2,048 wide.
 */
const LFM2_1B = planCache(many(6, plainLayer(64, { numKvHeads: 8 })), SIZES, states(10, 2 * 2048));
/**
 * A gated DeltaNet: 6 of 24 layers attend; the others keep 16 heads of 128 x 128, and three tokens
 * of a convolution.
 */
const DELTA_NET = [
  many(6, plainLayer(256, { numKvHeads: 2 })),
  states(18, 16 * 128 * 128 + 3 * 6144),
] as const;
/** Mamba 2 130M: 24 layers of 24 heads, 64 x 128, and three tokens of a convolution. */
const MAMBA2_130M = planCache([], SIZES, states(24, 24 * 64 * 128 + 3 * 1792));

describe('planCache', () => {
  it('puts small states over the pages of a block', () => {
    const { groups, pages, states: placed, bytesPerBlock } = LFM2_1B;
    expect(groups.map(({ kind }) => kind)).toEqual(['full', 'recurrent']);
    expect(pages.groups).toHaveLength(1);
    expect(bytesPerBlock).toBe(6 * 2 * 8 * 64 * 4 * 16);
    expect(placed.bytesPerCheckpoint).toBe(10 * 2 * 2048 * 4);
    expect(placed.offsets).toEqual(many(10, 0).map((_, layer) => layer * 2 * 2048 * 4));
  });

  it('cuts large states into pieces of a block, so that few bytes of pages are wasted', () => {
    const plans = [16, 64, 256].map((blockSize) =>
      planCache(DELTA_NET[0], { ...SIZES, blockSize }, DELTA_NET[1]),
    );
    // Groups, and bytes of a block in percent of its pages.
    const shown = plans.map(({ states: { groups, bytesPerCheckpoint, bytesPerBlock } }, i) => {
      const pageBytes = 6 * 2 * 2 * 256 * 4 * [16, 64, 256][i];
      expect(groups.length * bytesPerBlock).toBeGreaterThanOrEqual(bytesPerCheckpoint);
      return [groups.length, Math.round((100 * bytesPerBlock) / pageBytes)];
    });
    expect(shown).toEqual([
      [51, 101],
      [13, 100],
      [4, 100],
    ]);
  });

  it('leaves checkpoints of a prompt no more memory than its K and V, and 128 tokens between them', () => {
    for (const blockSize of [8, 16, 32, 256]) {
      const plan = planCache(DELTA_NET[0], { ...SIZES, blockSize }, DELTA_NET[1]);
      const [group] = plan.states.groups;
      if (group.kind !== 'recurrent') throw new Error(group.kind);
      const { checkpointBlocks } = group;
      expect(plan.states.groups.length).toBeLessThanOrEqual(checkpointBlocks);
      expect(checkpointBlocks * blockSize).toBeGreaterThanOrEqual(128);
    }
  });

  it('gives a model without attention blocks of one checkpoint', () => {
    expect(MAMBA2_130M.groups).toEqual([{ kind: 'recurrent', checkpointBlocks: 8 }]);
    expect(MAMBA2_130M.bytesPerBlock).toBe(24 * (24 * 64 * 128 + 3 * 1792) * 4);
  });

  it('leaves models without states as they were', () => {
    const layers = many(4, [plainLayer(64), plainLayer(64, { slidingWindow: 512 })]).flat();
    const { groups, pages, bytesPerBlock } = planCache(layers, SIZES);
    expect(groups).toEqual(pages.groups);
    expect(bytesPerBlock).toBe(4 * 2 * 64 * 4 * 16);
  });
});

describe('the memory budget', () => {
  it('counts the states: a request needs its K and V, and checkpoints of a step', () => {
    const { groups, bytesPerBlock } = LFM2_1B;
    const [full, recurrent] = groups.map((group) => maxHeldBlocks(group, 8192, 512, 16));
    expect([full, recurrent]).toEqual([512, 3 + 4]);
    const needed = (full + recurrent) * bytesPerBlock;
    expect(numBlocksIn(LFM2_1B, needed, SIZES)).toBe(519);
    expect(() => numBlocksIn(LFM2_1B, needed - 1, SIZES)).toThrow(
      /holds 518 blocks of 16 tokens \(393216 bytes each\); one request of 8192 tokens needs 519 blocks, 204079104 bytes\./,
    );
    // However long a sequence of states is, it needs those of one step.
    expect(numBlocksIn(MAMBA2_130M, 7 * MAMBA2_130M.bytesPerBlock, SIZES)).toBe(7);
  });
});
