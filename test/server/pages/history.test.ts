import { describe, expect, it } from 'vitest';

// The pages' scripts are not compiled: what a test uses of them is said here.
const { History, bySecond } = (await import(
  new URL('../../../server/pages/history.mjs', import.meta.url).href
)) as {
  History: new () => {
    begin(fields: string[]): void;
    add(samples: number[][]): void;
    column(field: string, seconds: number): (number | null)[];
    sum(field: string, seconds: number): number;
  };
  bySecond: (
    times: number[],
    values: (number | null)[],
    now: number,
    seconds: number,
  ) => (number | null)[];
};

describe("the dashboard's history", () => {
  it('has a gap where a model was not loaded, and none where a second was long', () => {
    const history = new History();
    history.begin(['time', 'seconds', 'running']);
    history.add([
      [1000, 1, 2],
      [6000, 5, 3],
    ]);
    history.add([[60_000, 1, 4]]);
    expect(history.column('running', Infinity)).toEqual([2, 3, null, 4]);
    expect(history.column('time', Infinity)).toEqual([1000, 6000, 7000, 60_000]);
    expect(history.sum('running', Infinity)).toBe(9);
  });

  it('puts the samples of all models at the same seconds', () => {
    expect(bySecond([7010, 8020, 8980], [1, 2, 3], 10_000, 5)).toEqual([null, 1, 2, 3, 3]);
    expect(bySecond([5000, 9000], [1, 2], 10_000, 5)).toEqual([null, null, null, 2, 2]);
    // At 6.4 and at 7.6: none is nearest to the second between them.
    expect(bySecond([6400, 7600], [1, 2], 8000, 3)).toEqual([1, 1, 2]);
    expect(bySecond([], [], 8000, 2)).toEqual([null, null]);
  });
});
