import fc from 'fast-check';
import { expect, it } from 'vitest';
import { OutputArchive } from '../../../engine/speculation/output-archive.js';
import { TokenText } from '../../../engine/speculation/token-text.js';
import type { TokenId } from '../../../scheduler/ids.js';

const tokens = (...ids: number[]): TokenId[] => ids as TokenId[];
const text = (least: number, ...ids: number[]): TokenText => {
  const made = new TokenText(least);
  made.append(tokens(...ids));
  return made;
};

it('finds the place that ends like the text itself, never its own end', () => {
  expect(text(2, 1, 2, 3, 9, 1, 2, 3).find(text(2, 1, 2, 3, 9, 1, 2, 3), 8)).toEqual({
    end: 3,
    length: 3,
  });
  const own = text(2, 5, 6, 7, 5, 6);
  expect(own.find(own, 8)).toEqual({ end: 2, length: 2 });
  const alone = text(2, 5, 6);
  expect(alone.find(alone, 8)).toBeNull();
  expect(text(3, 1, 2).find(text(3, 1, 2), 8)).toBeNull();
});

it('finds the longest match of few words, as a plain search does', () => {
  const words = fc.array(fc.nat({ max: 2 }), { maxLength: 24 });
  fc.assert(
    fc.property(words, words, fc.integer({ min: 1, max: 3 }), (there, here, least) => {
      const found = text(least, ...there).find(text(least, ...here), 6);
      let most = 0;
      for (let end = least; end < there.length; end++) {
        let length = 0;
        while (length < Math.min(end, here.length, 6)) {
          if (there[end - 1 - length] !== here[here.length - 1 - length]) break;
          length += 1;
        }
        most = Math.max(most, length);
      }
      expect(found?.length ?? 0).toBe(most >= least ? most : 0);
      if (found === null) return;
      const { end, length } = found;
      expect(there.slice(end - length, end)).toEqual(here.slice(here.length - length));
    }),
    { numRuns: 300 },
  );
});

it('keeps outputs by key, and forgets those that were not used for longest', () => {
  const archive = new OutputArchive(2, 6);
  archive.add('a', tokens(1, 2, 3));
  archive.add('b', tokens(4, 5, 6));
  archive.add('a', []);
  expect(archive.textOf('a')?.slice(0, 9)).toEqual([1, 2, 3]);
  archive.add('b', tokens(7));
  expect([archive.textOf('a'), archive.length]).toEqual([null, 4]);
  expect(archive.textOf('b')?.slice(0, 9)).toEqual([4, 5, 6, 7]);
  archive.add('c', tokens(1, 2, 3, 4, 5, 6, 7));
  expect(archive.textOf('c')).toBeNull();
});
