import { appendFileSync, existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { AnswerFile } from '../../../server/batch/answer-file.js';
import type { BatchAnswer } from '../../../server/batch/answer-journal.js';
import { readBatchLines } from '../../../server/batch/batch-lines.js';
import { type LineAnswer, runLines } from '../../../server/batch/run-lines.js';
import { modelDir } from '../../support/model-dir.js';

const request = (id: string, more: object = {}): string =>
  JSON.stringify({ custom_id: id, method: 'POST', url: '/v1/completions', body: {}, ...more });

const REQUESTS = Array.from({ length: 9 }, (_, i) => request(`r${i}`)).join('\n');

const LINES = readBatchLines(`${REQUESTS}\n\n`, 'in.jsonl');

const answersOf = (path: string): BatchAnswer[] =>
  readFileSync(path, 'utf8')
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as BatchAnswer);

const good = (id: string): LineAnswer => ({ status: 200, requestId: id, body: { id } });

test('so many at a time, and each answer once', async () => {
  const path = join(modelDir({}), 'out.jsonl');
  const answers = await AnswerFile.open(path, REQUESTS);
  let [running, most] = [0, 0];
  const said: [number, number][] = [];
  const failed = await runLines(LINES, answers, {
    concurrency: 3,
    signal: new AbortController().signal,
    send: async ({ custom_id: id }) => {
      most = Math.max(most, ++running);
      await new Promise((resolve) => setTimeout(resolve, id === 'r0' ? 30 : 1));
      running -= 1;
      return id === 'r4' ? { status: 400, requestId: id, body: { error: {} } } : good(id);
    },
    progress: (answered, errors) => said.push([answered, errors]),
  });
  expect([failed, most, said.at(-1)]).toEqual([1, 3, [9, 1]]);
  expect(existsSync(path)).toBe(false);
  await answers.finish();
  await answers.close();
  const all = answersOf(path);
  expect(all.map(({ custom_id: id }) => id).sort()).toEqual(LINES.map((line) => line.custom_id));
  expect(all.find(({ custom_id: id }) => id === 'r4')).toEqual({
    id: expect.stringMatching(/^batch_req_[\da-f]{32}$/) as string,
    custom_id: 'r4',
    response: { status_code: 400, request_id: 'r4', body: { error: {} } },
    error: null,
  });
});

test('what was ended goes on behind its whole lines', async () => {
  const directory = modelDir({});
  const path = join(directory, 'out.jsonl');
  const controller = new AbortController();
  const asked: string[] = [];
  const run = async (): Promise<AnswerFile> => {
    const answers = await AnswerFile.open(path, REQUESTS);
    await runLines(LINES, answers, {
      concurrency: 1,
      signal: controller.signal,
      send: ({ custom_id: id }) => {
        asked.push(id);
        if (asked.length === 4) controller.abort();
        return Promise.resolve(good(id));
      },
      progress: () => undefined,
    });
    return answers;
  };
  await (await run()).close();
  const [partial = ''] = readdirSync(directory);
  expect(answersOf(join(directory, partial))).toHaveLength(3);
  appendFileSync(join(directory, partial), '{"custom_id": "r3", "resp');
  const other = await AnswerFile.open(path, `${REQUESTS}\n${request('r9')}`);
  expect(other.done.size).toBe(0);
  await other.close();
  const answers = await AnswerFile.open(path, REQUESTS);
  expect([...answers.done]).toEqual(['r0', 'r1', 'r2']);
  await answers.close();
});

test('an error of the file ends the run', async () => {
  const answers = await AnswerFile.open(join(modelDir({}), 'out.jsonl'), REQUESTS);
  await answers.close();
  const run = runLines(LINES, answers, {
    concurrency: 2,
    signal: new AbortController().signal,
    send: ({ custom_id: id }) => Promise.resolve(good(id)),
    progress: () => undefined,
  });
  await expect(run).rejects.toThrow(/closed|EBADF/);
});

test.each([
  ['{', 'must be a JSON object'],
  ['[]', 'must have custom_id'],
  [request('', {}), 'must have custom_id'],
  [request('a', { body: 'x' }), 'must have custom_id'],
  [request('a', { method: 'GET' }), 'method must be POST'],
  [request('a', { url: '/v1/models' }), 'url must be one of /v1/chat/completions,'],
  [request('a', { body: { stream: true } }), 'body.stream: an answer of a batch is never streamed'],
  [request('r0'), 'custom_id r0: line 1 has the same'],
])('%s is refused with its line', (line, message) => {
  const text = `${request('r0')}\n${line}`;
  expect(() => readBatchLines(text, 'in.jsonl')).toThrow(`--input-file in.jsonl:2: ${message}`);
});
