import { describe, expect, it } from 'vitest';
import { workerCount } from './support/worker-count.js';

const GIB = 2 ** 30;

describe('workers of the test run', () => {
  it.each([
    [1, 4, 2],
    [2, 23, 2],
    [8, 64, 4],
    [32, 64, 16],
    [32, 16, 4],
    [64, 2, 2],
  ])('%i processors and %i GiB: %i', (cpus, gib, expected) => {
    expect(workerCount(cpus, gib * GIB)).toBe(expected);
  });
});
