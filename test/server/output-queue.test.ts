import { expect, test } from 'vitest';
import { OctavoError } from '../../engine/errors.js';
import type { TokenId } from '../../scheduler/ids.js';
import { OutputQueue } from '../../server/output-queue.js';
import { standardScores } from '../support/scripted-engine.js';

const output = (ids: number[], finishReason: 'length' | null = null) => ({
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
