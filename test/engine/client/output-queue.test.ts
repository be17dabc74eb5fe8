import { expect, test } from 'vitest';
import { OutputQueue } from '../../../engine/client/output-queue.js';
import { OctavoError } from '../../../engine/errors.js';
import type { SequenceId, TokenId } from '../../../scheduler/ids.js';
import { standardScores } from '../../support/scripted-engine.js';

const output = (ids: number[], finishReason: 'length' | null = null) => ({
  id: 's' as SequenceId,
  tokenIds: ids as TokenId[],
  finishReason,
  cachedTokens: 3,
  logprobs: ids.map((id) => standardScores(id as TokenId, 1)),
});

test('outputs that wait are one, with all of their tokens, scores and prompt scores', async () => {
  const queue = new OutputQueue();
  const promptLogprobs = [standardScores(1 as TokenId, 0)];
  queue.push({ ...output([5]), promptLogprobs });
  queue.push(output([6, 7]));
  queue.push(output([8], 'length'));
  queue.push(output([9]));
  expect(await queue.next()).toEqual({ ...output([5, 6, 7, 8], 'length'), promptLogprobs });
});

test('what the engine has sent stays as it is', async () => {
  const queue = new OutputQueue();
  const [first, second] = [output([5]), output([6])];
  queue.push(first);
  queue.push(second);
  queue.push(output([7]));
  await queue.next();
  expect([first, second]).toEqual([output([5]), output([6])]);
});

test('a reader that waits is woken by an output, and by an error after what is pending', async () => {
  const queue = new OutputQueue();
  const waiting = queue.next();
  queue.push(output([1]));
  expect((await waiting).tokenIds).toEqual([1]);
  queue.push(output([2]));
  queue.fail(new OctavoError('engine_failed', 'gone'));
  expect((await queue.next()).tokenIds).toEqual([2]);
  await expect(queue.next()).rejects.toThrow('gone');
});

test('a long output comes in pieces; what belongs to the first comes with it, the end with the last', async () => {
  const queue = new OutputQueue();
  const ids = Array.from({ length: 1000 }, (_, i) => i);
  const promptLogprobs = [standardScores(1 as TokenId, 0)];
  const scored = (from: number, to: number) => ({
    ...output(ids.slice(from, to)),
    logprobs: ids.slice(from, to).map((id) => standardScores(id as TokenId, 20)),
  });
  queue.push({ ...scored(0, 400), promptLogprobs });
  queue.push({ ...scored(400, 1000), finishReason: 'length' });
  const pieces = [await queue.next()];
  while (pieces.at(-1)?.finishReason === null) pieces.push(await queue.next());
  expect(pieces.length).toBeGreaterThan(20);
  expect(pieces.flatMap(({ tokenIds }) => tokenIds)).toEqual(ids);
  expect(pieces.flatMap(({ logprobs = [] }) => logprobs)).toEqual(scored(0, 1000).logprobs);
  expect(pieces.map((piece) => piece.promptLogprobs)).toEqual([
    promptLogprobs,
    ...pieces.slice(1).map(() => undefined),
  ]);
});

test('an output counts from its coming until the next one is asked for, or the reader goes', async () => {
  let kept = 0;
  const meter = {
    add: (bytes: number) => (kept += bytes),
    release: (bytes: number) => (kept -= bytes),
  };
  const queue = new OutputQueue(meter);
  queue.push(output([1]));
  const one = kept;
  expect(one).toBeGreaterThan(100);
  queue.push(output([2, 3]));
  expect(kept).toBe(3 * one);
  await queue.next();
  expect(kept).toBe(3 * one);
  const waiting = queue.next();
  expect(kept).toBe(0);
  queue.push(output([4]));
  await waiting;
  queue.push(output([5]));
  queue.close();
  queue.push(output([6]));
  expect(kept).toBe(0);
});
