import { describe, expect, it } from 'vitest';
import { GREEDY } from '../../engine/sampling/sampling-params.js';
import { replayTrace } from '../../engine/trace/replay.js';
import type { TokenId } from '../../scheduler/ids.js';
import { RepetitionDetector, type RepetitionLimit } from '../../scheduler/repetition.js';
import { CoreHarness } from '../support/core-harness.js';

const limit = (
  minPatternSize: number,
  maxPatternSize: number,
  minCount: number,
  minTokens = 0,
): RepetitionLimit => ({ minPatternSize, maxPatternSize, minCount, minTokens });

/** The same by definition: the last tokens are one pattern, so many times. */
function endsRepeating(output: readonly number[], of: RepetitionLimit): boolean {
  if (output.length < of.minTokens) return false;
  for (let size = of.minPatternSize; size <= of.maxPatternSize; size++) {
    const tail = output.slice(-size * of.minCount);
    if (tail.length < size * of.minCount) continue;
    if (tail.every((token, i) => token === tail[i % size])) return true;
  }
  return false;
}

/** At which lengths of the output it repeats. */
function found(prompt: readonly number[], output: readonly number[], of: RepetitionLimit) {
  const detector = new RepetitionDetector(of, prompt.length);
  const tokens = [...prompt] as TokenId[];
  return output.flatMap((token, i) => {
    tokens.push(token as TokenId);
    return detector.repeats(tokens) ? [i + 1] : [];
  });
}

describe('the detector', () => {
  it.each<[string, number[], RepetitionLimit, number[]]>([
    ['a pattern of three, three times', [1, 2, 3, 1, 2, 3, 1, 2, 3], limit(2, 3, 3), [9]],
    ['and not twice', [1, 2, 3, 1, 2, 3], limit(2, 3, 3), []],
    ['one that is broken off', [1, 2, 3, 1, 2, 3, 1, 2, 4], limit(2, 3, 3), []],
    ['behind other tokens', [1, 2, 3, 4, 5, 6, 5, 6, 5, 6], limit(2, 3, 3), [10]],
    ['one token over and over', [7, 7, 7, 7], limit(1, 1, 3), [3, 4]],
    ['which is a larger pattern, too', [7, 7, 7, 7], limit(2, 2, 2), [4]],
    ['smaller than the smallest', [1, 2, 1, 2, 1, 2], limit(3, 5, 2), []],
    ['not before enough tokens are there', [7, 7, 7, 7, 7], limit(1, 1, 2, 4), [4, 5]],
  ])('finds %s', (_, output, of, expected) => {
    expect(found([], output, of)).toEqual(expected);
  });

  it('does not count tokens of the prompt', () => {
    expect(found([1, 2, 1, 2], [1, 2, 1, 2], limit(1, 2, 2))).toEqual([4]);
  });

  it('finds what the definition finds, in all outputs of two tokens', () => {
    const limits = [limit(1, 3, 2), limit(1, 4, 3), limit(2, 5, 2), limit(3, 3, 3, 10)];
    for (const of of limits) {
      for (let bits = 0; bits < 2 ** 10; bits++) {
        const output = Array.from({ length: 10 }, (_, i) => (bits >>> i) & 1);
        const expected = output.flatMap((_, i) =>
          endsRepeating(output.slice(0, i + 1), of) ? [i + 1] : [],
        );
        expect([of, bits, found([1, 0, 1], output, of)]).toEqual([of, bits, expected]);
      }
    }
  });

  it('looks at several tokens at once, and says how the last one ends', () => {
    const detector = new RepetitionDetector(limit(1, 2, 2), 0);
    expect(detector.repeats([5, 5, 6] as TokenId[])).toBe(false);
    expect(detector.repeats([5, 5, 6, 5, 6] as TokenId[])).toBe(true);
    expect(detector.repeats([5, 5, 6, 5, 6] as TokenId[])).toBe(false);
  });
});

describe('a sequence', () => {
  /** Only these tokens are chosen, so that it repeats itself. */
  const only = (h: CoreHarness, id: string, maxTokens: number, more: object) => {
    const params = { ...GREEDY, allowedTokenIds: [7 as TokenId] };
    h.add(id, [1, 2, 3], maxTokens, { sampling: params, ...more });
  };

  it('that repeats itself ends, and the trace of it is replayed', async () => {
    const lines: string[] = [];
    const h = new CoreHarness({ trace: (event) => void lines.push(JSON.stringify(event)) });
    only(h, 'a', 20, { repetition: limit(1, 4, 5) });
    only(h, 'b', 20, {});
    await h.runToEnd();
    expect(h.texts.get('a')).toEqual([7, 7, 7, 7, 7]);
    expect(h.finished.get('a')).toMatchObject({ finishReason: 'repetition' });
    expect(h.finished.get('a')).not.toHaveProperty('stopToken');
    expect(h.finished.get('b')).toMatchObject({ finishReason: 'length' });
    expect(h.cache.pool.numUsed).toBe(0);
    expect((await replayTrace(lines)).difference).toBeNull();
  });

  it('ends by its length or a stop token first', async () => {
    const h = new CoreHarness();
    only(h, 'a', 5, { repetition: limit(1, 4, 5) });
    only(h, 'b', 20, { repetition: limit(1, 4, 2), stopTokenIds: [7] });
    await h.runToEnd();
    expect(h.finished.get('a')).toMatchObject({ finishReason: 'length' });
    expect(h.finished.get('b')).toMatchObject({ finishReason: 'stop', tokenIds: [7] });
  });

  it('ends at the same token when several are decided in one step', async () => {
    const h = new CoreHarness({
      propose: (_, most) => Array.from({ length: most }, () => 7 as TokenId),
    });
    only(h, 'a', 20, { repetition: limit(1, 4, 5), logprobs: 0 });
    await h.runToEnd();
    expect(h.texts.get('a')).toEqual([7, 7, 7, 7, 7]);
    const { finishReason, tokenIds, logprobs } = h.finished.get('a') ?? {};
    expect([finishReason, logprobs?.length]).toEqual(['repetition', tokenIds?.length]);
    expect(h.model.steps.length).toBeLessThan(5);
  });

  it('is watched through a preemption', async () => {
    const h = new CoreHarness({ numBlocks: 8, blockSize: 4 });
    only(h, 'first', 24, {});
    only(h, 'a', 24, { repetition: limit(1, 4, 20) });
    await h.runToEnd();
    expect(h.core.stats.preemptions).toBeGreaterThan(0);
    expect(h.texts.get('a')).toHaveLength(20);
    expect(h.finished.get('a')).toMatchObject({ finishReason: 'repetition' });
  });

  it('of several to one prompt is watched by itself', async () => {
    const h = new CoreHarness();
    const params = { ...GREEDY, temperature: 1, allowedTokenIds: [7, 8] as TokenId[] };
    const of = limit(1, 3, 3);
    h.add(['a', 'b', 'c'], [1, 2, 3], 60, { sampling: params, repetition: of });
    await h.runToEnd();
    for (const id of ['a', 'b', 'c']) {
      const text = h.texts.get(id) as number[];
      const first = text.findIndex((_, i) => endsRepeating(text.slice(0, i + 1), of));
      const { finishReason } = h.finished.get(id) ?? {};
      expect([id, first, finishReason]).toEqual([id, text.length - 1, 'repetition']);
    }
  });
});
