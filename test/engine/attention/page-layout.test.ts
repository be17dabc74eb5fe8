import { describe, expect, it } from 'vitest';
import { bytesPerBlock, fullLayout, planPages } from '../../../engine/attention/page-layout.js';
import type { AttentionLayer } from '../../../engine/attention/paged-attention.js';
import { maxHeldBlocks } from '../../../kvcache/cache-group.js';
import { plainLayer } from '../../support/attention-cases.js';

const LONG = 8192;
const STEP = 512;

const layer = (slidingWindow: number, headSize = 64): AttentionLayer =>
  plainLayer(headSize, { numHeads: 4, slidingWindow });

/** `windows` layers with a window behind each layer with full attention, as Gemma 3 has them. */
function pattern(numLayers: number, windows: number, window: number): AttentionLayer[] {
  return Array.from({ length: numLayers }, (_, i) =>
    layer(i % (windows + 1) === windows ? 0 : window),
  );
}

/**
 * Bytes that a sequence of `tokens` tokens holds, and those that it would if all layers kept all of
 * it.
 */
function heldBytes(layers: readonly AttentionLayer[], tokens: number): [number, number] {
  const held = (layout = planPages(layers, LONG, STEP)): number => {
    const blocks = layout.groups.reduce((n, g) => n + maxHeldBlocks(g, tokens, STEP, 16), 0);
    return blocks * bytesPerBlock(layers, layout, 16, 'f32');
  };
  return [held(), held(fullLayout(layers))];
}

describe('planPages', () => {
  it('puts every layer in a place of its own', () => {
    for (const layers of [
      pattern(26, 5, 512),
      pattern(18, 5, 512),
      pattern(12, 1, 128),
      pattern(7, 3, 4096),
      Array.from({ length: 5 }, () => layer(100)),
      [layer(0), layer(100), layer(200), layer(200)],
    ]) {
      const { groups, layers: placed, numSlots } = planPages(layers, LONG, STEP);
      expect(new Set(placed.map(({ group, slot }) => `${group}:${slot}`)).size).toBe(layers.length);
      for (const [i, { group, slot }] of placed.entries()) {
        expect(slot).toBeLessThan(numSlots);
        const { slidingWindow } = layers[i];
        expect(groups[group]).toEqual(
          slidingWindow === 0
            ? { kind: 'full' }
            : { kind: 'sliding-window', window: slidingWindow },
        );
      }
      expect(new Set(placed.map(({ slot }) => slot)).size).toBe(numSlots);
    }
  });

  it('takes few groups, and leaves few places empty', () => {
    const sizes = (layers: readonly AttentionLayer[]): [number, number] => {
      const { groups, numSlots } = planPages(layers, LONG, STEP);
      return [groups.length, groups.length * numSlots - layers.length];
    };
    expect(sizes(pattern(26, 5, 512))).toEqual([7, 2]);
    expect(sizes(pattern(18, 5, 512))).toEqual([6, 0]);
    expect(sizes(pattern(34, 5, 1024))).toEqual([7, 1]);
    expect(sizes(pattern(24, 1, 128))).toEqual([2, 0]);
  });

  it('leaves all layers together where no window is short enough, or pages differ in size', () => {
    expect(planPages(pattern(12, 1, 8000), LONG, STEP)).toEqual(fullLayout(pattern(12, 1, 8000)));
    const mixed = [layer(0, 64), layer(100, 32)];
    expect(planPages(mixed, LONG, STEP)).toEqual(fullLayout(mixed));
    const full = [layer(0), layer(0)];
    expect(planPages(full, LONG, STEP)).toEqual(fullLayout(full));
  });

  it('holds at 8,192 tokens the share that the windows need', () => {
    // 4 of 26 layers keep all, 22 keep the window, a step and the blocks that both touch; 2 of 28
    // places are empty.
    const [gemma, all] = heldBytes(pattern(26, 5, 512), LONG);
    const window = Math.ceil((511 + STEP) / 16) + 1;
    expect(gemma / all).toBeCloseTo(((512 + 6 * window) * 4) / (512 * 26), 6);
    expect(gemma / all).toBeLessThan(0.28);
    // A window of 128 in every second layer.
    const [oss, allOss] = heldBytes(pattern(24, 1, 128), LONG);
    expect(oss / allOss).toBeLessThan(0.55);
  });
});
