import { afterEach, describe, expect, test } from 'vitest';
import type { GrammarCheck } from '../../../engine/grammar/check-messages.js';
import { CHECKER_DEFAULTS, GrammarChecker } from '../../../engine/grammar/grammar-checker.js';
import { countByClient, inTurn, shareOf } from '../../../engine/job-pool/fair-share.js';
import type { GrammarSpec } from '../../../engine/protocol/request.js';

const checkers: GrammarChecker[] = [];
afterEach(async () => {
  await Promise.all(checkers.splice(0).map((checker) => checker.close()));
});

function start(options: Partial<typeof CHECKER_DEFAULTS> | { budgetMs: number } = {}) {
  const checker = new GrammarChecker({ ...CHECKER_DEFAULTS, ...options });
  checkers.push(checker);
  return checker;
}

const regex = (source: string): GrammarSpec => ({ kind: 'regex', source });
const of = (spec: GrammarSpec): GrammarCheck[] => [{ spec, field: 'f', suspects: [] }];
const never = new AbortController().signal;
/** Takes many seconds to check. */
const slow = (n: number): GrammarCheck[] =>
  Array.from({ length: 300 }, (_, i) => of(regex(`${n}x${i}(a|aa){500}`))[0]);

describe('GrammarChecker', () => {
  test('runs no thread before the first grammar, and says what is wrong in the words of the field', async () => {
    const checker = start();
    await checker.check([], '', never);
    expect(checker.threads).toBe(0);
    await checker.check(of(regex('a+')), '', never);
    expect(checker.threads).toBe(1);
    for (let again = 0; again < 2; again++) {
      await expect(checker.check(of(regex('(?=a)')), '', never)).rejects.toMatchObject({
        kind: 'invalid_request',
        param: 'f',
        message: expect.stringMatching(/^f: regex: look-around/) as string,
      });
    }
  });

  test('names the part at fault', async () => {
    const good: GrammarSpec = { kind: 'json-schema', source: '{"type":"null"}' };
    const bad: GrammarSpec = { kind: 'json-schema', source: '{"not":{}}' };
    const spec: GrammarSpec = { kind: 'structure', parts: [good, bad] as never };
    const suspects = [
      { spec: good, name: 'the function a', param: 'tools' },
      { spec: bad, name: 'the function b', param: 'tools' },
    ];
    await expect(start().check([{ spec, field: null, suspects }], '', never)).rejects.toMatchObject(
      {
        param: 'tools',
        message: expect.stringMatching(/^the function b: .*"not"/) as string,
      },
    );
  });

  test('gives up what takes too long, and says what of it is large', async () => {
    const checker = start({ budgetMs: 200 });
    const values = Array.from({ length: 9000 }, (_, i) => `${i}${'aa'.repeat(20)}`);
    const source = JSON.stringify({ enum: values, pattern: '^([0-9]|a|aa)+$' });
    await expect(checker.check(of({ kind: 'json-schema', source }), '', never)).rejects.toThrow(
      /takes more than 0\.2 s to check: it has \d+ characters, 9000 values/,
    );
    await checker.check(of(regex('b')), '', never);
  });

  test('a client that sends more than its share keeps nobody else waiting', async () => {
    const checker = start({ budgetMs: 600_000 });
    const warm = ['a', 'b'].map((client) => checker.check(of(regex(client)), client, never));
    await Promise.all(warm);
    const controller = new AbortController();
    let settled = 0;
    const flood = [1, 2, 3].map((n) =>
      checker
        .check(slow(n), 'attacker', controller.signal)
        .catch(() => undefined)
        .finally(() => (settled += 1)),
    );
    await checker.check(of(regex('c')), 'innocent', never);
    expect(settled).toBe(0);
    controller.abort();
    await Promise.all(flood);
  });

  test('what nobody waits for any more is given up', async () => {
    const checker = start({ maxThreads: 1, budgetMs: 600_000 } as never);
    await checker.check(of(regex('warm')), '', never);
    const controller = new AbortController();
    const left = [1, 2, 3].map((n) => checker.check(slow(n), '', controller.signal));
    const settled = Promise.allSettled(left);
    await new Promise((resolve) => setTimeout(resolve, 50));
    controller.abort(new Error('left'));
    // None of the three has taken its budget of ten minutes.
    await checker.check(of(regex('next')), '', never);
    expect((await settled).map(({ status }) => status)).toEqual(Array(3).fill('rejected'));
  });

  test('the same grammar of another, who still waits, is checked again', async () => {
    const checker = start({ maxThreads: 1, budgetMs: 2000 } as never);
    await checker.check(of(regex('warm')), '', never);
    const controller = new AbortController();
    const left = checker.check(slow(1), 'a', controller.signal).catch(() => 'left');
    const waits = checker.check(slow(1), 'b', never).catch((error: Error) => error.message);
    controller.abort(new Error('left'));
    expect(await left).toBe('left');
    expect(await waits).not.toMatch(/0\.25 s/);
  });

  test('rejects what waits when it is closed', async () => {
    const checker = start();
    const waiting = checker.check(of(regex('a')), '', never).catch((error: unknown) => error);
    await checker.close();
    expect(await waiting).toMatchObject({ kind: 'draining' });
    await expect(checker.check(of(regex('b')), '', never)).rejects.toMatchObject({
      kind: 'draining',
    });
  });
});

test('whose turn it is', () => {
  const jobs = ['a', 'a', 'b', 'c', 'b'].map((client, index) => ({ client, index }));
  const order = (busy: [string, number][]): number[] =>
    inTurn(jobs, new Map(busy)).map(({ index }) => index);
  expect(order([])).toEqual([0, 1, 2, 3, 4]);
  expect(order([['a', 1]])).toEqual([2, 3, 4, 0, 1]);
  expect(
    order([
      ['a', 2],
      ['b', 1],
    ]),
  ).toEqual([3, 2, 4, 0, 1]);
  expect([1, 2, 5].map(shareOf)).toEqual([1, 1, 4]);
  expect(countByClient(['x', 'y', 'x'])).toEqual(
    new Map([
      ['x', 2],
      ['y', 1],
    ]),
  );
});
