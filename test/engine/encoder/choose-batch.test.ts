import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { chooseBatch, choosePacked } from '../../../engine/encoder/choose-batch.js';

const limits = { maxSequences: 64, maxTokens: 512 };

const paddedOf = (lengths: readonly number[], batch: readonly number[]): number =>
  batch.length * Math.max(...batch.map((index) => lengths[index]));

describe('chooseBatch', () => {
  it('computes texts of about one length together, and leaves others for later', () => {
    const lengths = [100, 300, 101, 30, 99, 5];
    expect(chooseBatch(lengths, limits)).toEqual([4, 0, 2]);
  });

  it('takes the earlier ones of texts of one length', () => {
    expect(chooseBatch([200, 200, 200], limits)).toEqual([0, 1]);
  });

  it('computes a text alone that is longer than a step', () => {
    expect(chooseBatch([2000, 2000], limits)).toEqual([0]);
  });

  it('always has the first text, within the limits, with little padding', () => {
    const length = fc.integer({ min: 1, max: 600 });
    fc.assert(
      fc.property(fc.array(length, { minLength: 1, maxLength: 60 }), fc.nat(7), (lengths, more) => {
        const batch = chooseBatch(lengths, { maxSequences: more + 1, maxTokens: 512 });
        expect(new Set(batch).size).toBe(batch.length);
        expect(batch).toContain(0);
        expect(batch.length).toBeLessThanOrEqual(more + 1);
        const padded = paddedOf(lengths, batch);
        const tokens = batch.reduce((sum, index) => sum + lengths[index], 0);
        if (batch.length > 1) expect(padded).toBeLessThanOrEqual(512);
        expect(padded - tokens).toBeLessThanOrEqual(Math.max(64, padded / 8));
      }),
    );
  });
});

describe('packed texts', () => {
  it('are the next ones, whatever their lengths, while their tokens fit', () => {
    const small = { maxSequences: 3, maxTokens: 100 };
    expect(choosePacked([90, 5, 5, 1], small)).toEqual([0, 1, 2]);
    expect(choosePacked([90, 20, 5], small)).toEqual([0]);
    expect(choosePacked([500, 1], small)).toEqual([0]);
  });
});
