import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { TierIndex } from '../../kvcache/tier-index.js';

describe('the index of a bounded tier', () => {
  it('gives places until there are none, then that of the content that came longest ago', () => {
    const index = new TierIndex<string>(2);
    expect(index.add('a')).toEqual({ place: 0, evicted: null });
    expect(index.add('b')).toEqual({ place: 1, evicted: null });
    expect(index.add('c')).toEqual({ place: 0, evicted: 'a' });
    expect([index.has('a'), index.placeOf('a'), index.placeOf('c')]).toEqual([false, undefined, 0]);
    index.remove('b');
    index.remove('b');
    expect(index.add('d')).toEqual({ place: 1, evicted: null });
    expect(index.size).toBe(2);
  });

  it('keeps what was hit through a flood, up to its share', () => {
    const index = new TierIndex<string>(10);
    for (const key of ['a', 'b']) index.add(key);
    for (const key of ['a', 'b', 'nothing']) index.touch(key);
    for (let i = 0; i < 100; i++) index.add(`flood ${i}`);
    expect([index.has('a'), index.has('b')]).toEqual([true, true]);
    // Hits of all others push them out in turn.
    for (const key of [...index.keys()].filter((name) => name.startsWith('flood')))
      index.touch(key);
    for (let i = 0; i < 3; i++) index.add(`late ${i}`);
    expect(index.has('a')).toBe(false);
  });

  it('takes protected places when all others are pinned, and none when all are', () => {
    const index = new TierIndex<string>(2);
    index.add('a');
    index.touch('a');
    index.add('b');
    index.pin('b');
    expect([...index.keys()]).toEqual(['b', 'a']);
    expect(index.add('c')).toEqual({ place: 0, evicted: 'a' });
    index.pin('c');
    index.pin('c');
    expect(index.add('d')).toBeNull();
    index.unpin('c');
    expect([index.add('d'), index.numPinned, index.isPinned('c')]).toEqual([null, 2, true]);
    index.touch('c');
    index.unpin('c');
    index.unpin('never pinned');
    expect(index.add('d')).toEqual({ place: 0, evicted: 'c' });
    index.remove('b');
    index.unpin('b');
    expect(index.numPinned).toBe(0);
  });

  it('never gives one place to two contents, whatever happens', () => {
    const call = fc.record({
      kind: fc.constantFrom('add', 'touch', 'remove', 'pin', 'unpin'),
      key: fc.nat({ max: 9 }),
    });
    fc.assert(
      fc.property(fc.array(call, { maxLength: 80 }), (calls) => {
        const index = new TierIndex<number>(4);
        for (const { kind, key } of calls) {
          const isThere = index.has(key);
          if (kind === 'add' ? !isThere : isThere) index[kind as 'add'](key);
          const keys = [...index.keys()];
          const places = new Set(keys.map((each) => index.placeOf(each)));
          expect([keys.length, places.size]).toEqual([index.size, index.size]);
          expect(index.size).toBeLessThanOrEqual(4);
          for (const place of places) expect(place).toBeLessThan(4);
        }
      }),
    );
  });
});
