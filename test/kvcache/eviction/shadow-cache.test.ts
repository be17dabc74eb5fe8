import { describe, expect, it } from 'vitest';
import { ShadowTuner } from '../../../kvcache/eviction/shadow-cache.js';
import { contentHash } from '../../support/sequences.js';

const OLDEST_FIRST = 0;
const NEWEST_FIRST = 1;

/** Uses contents one after the other. @returns how often another setting was chosen */
function use(tuner: ShadowTuner, names: Iterable<number>, clock: { time: number }): number {
  let changes = 0;
  for (const name of names) {
    const time = clock.time++;
    const rankOf = (setting: number): number => (setting === OLDEST_FIRST ? time : -time);
    if (tuner.access(contentHash(`${name}`), rankOf, 1)) changes += 1;
  }
  return changes;
}

const cycle = (length: number, uses: number): number[] =>
  Array.from({ length: uses }, (_, i) => i % length);

describe('ShadowTuner', () => {
  it.each([64, 3000])(
    'with %d blocks, finds what saves most, and changes its mind',
    (numBlocks) => {
      const clock = { time: 0 };
      const tuner = new ShadowTuner(numBlocks, 2, OLDEST_FIRST);
      // More contents than there is room for, again and again: keeping the newest finds nothing.
      expect(use(tuner, cycle(1.5 * numBlocks, 5 * numBlocks), clock)).toBe(1);
      expect(tuner.chosen).toBe(NEWEST_FIRST);
      // Each content a few times in a row, then others: what is old is of no use.
      const moving = Array.from({ length: 20 * numBlocks }, (_, i) => 1e6 + (i >> 2) - (i % 2));
      use(tuner, moving, clock);
      expect(tuner.chosen).toBe(OLDEST_FIRST);
    },
  );

  it('stays with what it has while nothing saves more', () => {
    const tuner = new ShadowTuner(8, 2, NEWEST_FIRST);
    expect(use(tuner, cycle(1e6, 200), { time: 0 })).toBe(0);
    expect(tuner.chosen).toBe(NEWEST_FIRST);
  });
});
