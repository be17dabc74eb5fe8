import { describe, expect, it } from 'vitest';
import { freeBuffers } from '../../../engine/free-buffers.js';
import { lifetimes } from '../../../engine/runner/lifetimes.js';

describe('lifetimes', () => {
  const segments = [
    { inputs: ['input_ids'], outputs: ['q0', 'k0', 'v0', 'h0', 'mask'] },
    { inputs: ['a0', 'h0'], outputs: ['q1', 'k1', 'h1'] },
    { inputs: ['a1', 'h1', 'mask', 'position_ids'], outputs: ['top_logits'] },
  ];
  // The second site reads the first one's values again.
  const sites = [
    { query: 'q0', key: 'k0', value: 'v0', output: 'a0' },
    { query: 'q1', key: 'k1', value: 'v0', output: 'a1' },
  ];

  it('ends a tensor at its last reader', () => {
    const { afterSegment, afterSite } = lifetimes(segments, sites);
    expect(afterSite).toEqual([
      ['q0', 'k0'],
      ['v0', 'q1', 'k1'],
    ]);
    expect(afterSegment).toEqual([[], ['h0'], ['mask', 'h1']]);
  });

  it('never ends inputs of the step, outputs of sites, or the answer', () => {
    const { afterSegment, afterSite } = lifetimes(segments, sites);
    const ended = [...afterSegment, ...afterSite].flat();
    for (const name of ['input_ids', 'position_ids', 'a0', 'a1', 'top_logits']) {
      expect(ended).not.toContain(name);
    }
  });
});

describe('outputs of sites', () => {
  const site = (i: number) => ({ query: `q${i}`, key: `k${i}`, value: `v${i}`, output: `a${i}` });

  it('are lent when the next segment alone reads them', () => {
    const segments = [
      { inputs: ['input_ids'], outputs: ['q0', 'k0', 'v0'] },
      { inputs: ['a0'], outputs: ['q1', 'k1', 'v1'] },
      { inputs: ['a1'], outputs: ['top_logits'] },
    ];
    expect(lifetimes(segments, [site(0), site(1)]).isLent).toEqual([true, true]);
  });

  it('are kept when a later segment or site reads them', () => {
    const segments = [
      { inputs: ['input_ids'], outputs: ['q0', 'k0', 'v0'] },
      { inputs: ['a0'], outputs: ['q1', 'k1'] },
      { inputs: ['a1'], outputs: ['q2', 'k2', 'v2'] },
      { inputs: ['a2', 'a0'], outputs: ['top_logits'] },
    ];
    // The first one's output is an operand at the end, the second one's are the values of the
    // third.
    const sites = [site(0), { ...site(1), value: 'k1' }, { ...site(2), value: 'a1' }];
    expect(lifetimes(segments, sites).isLent).toEqual([false, false, true]);
  });
});

describe('freeBuffers', () => {
  it('gives the memory back at once, without the garbage collector', () => {
    const size = 2 ** 20;
    const before = process.memoryUsage().arrayBuffers;
    const kept: Float32Array[] = [];
    for (let i = 0; i < 64; i++) {
      const views = [new Float32Array(size / 4), new Float32Array(size / 4)];
      kept.push(...views);
      freeBuffers(views.map(({ buffer }) => buffer));
    }
    expect(kept.every(({ length }) => length === 0)).toBe(true);
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(8 * size);
  });

  it('takes none', () => {
    expect(() => freeBuffers([])).not.toThrow();
  });
});
