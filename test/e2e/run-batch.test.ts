import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { modelDir } from '../support/model-dir.js';
import { runOctavo } from '../support/octavo-process.js';

test('answers a file of requests, of several endpoints, and goes on after one that fails', async () => {
  const directory = modelDir({});
  const [input, output] = [join(directory, 'in.jsonl'), join(directory, 'out.jsonl')];
  const messages = [{ role: 'user', content: 'What is the capital of France?' }];
  const requests = [
    ['chat', '/v1/chat/completions', { messages, max_tokens: 8, temperature: 0 }],
    ['text', '/v1/completions', { prompt: 'The owl', max_tokens: 4 }],
    ['wrong', '/v1/chat/completions', { messages, temperature: 9 }],
    ['vector', '/v1/embeddings', { input: 'owl' }],
    ['message', '/v1/messages', { messages, max_tokens: 4 }],
  ] as const;
  const lines = requests.map(([custom_id, url, body]) =>
    JSON.stringify({ custom_id, method: 'POST', url, body }),
  );
  writeFileSync(input, lines.join('\n'));
  const { code, stderr } = await runOctavo(['run-batch', '-i', input, '-o', output]);
  expect(stderr).toContain(`octavo: 5 requests are answered, 1 with an error: ${output}`);
  expect(code).toBe(1);
  const answers = readFileSync(output, 'utf8').trim().split('\n');
  const byId = new Map(
    answers.map((line) => {
      const { custom_id: id, response } = JSON.parse(line) as {
        custom_id: string;
        response: { status_code: number; body: object };
      };
      return [id, response] as const;
    }),
  );
  expect([...byId.keys()].sort()).toEqual(['chat', 'message', 'text', 'vector', 'wrong']);
  expect(byId.get('chat')?.body).toMatchObject({ object: 'chat.completion' });
  expect(byId.get('vector')?.body).toMatchObject({ object: 'list' });
  expect(byId.get('message')?.body).toMatchObject({ type: 'message' });
  expect(byId.get('wrong')).toMatchObject({
    status_code: 400,
    body: { error: { param: 'temperature' } },
  });
});

test('names the flag that is missing, and the line that is no request', async () => {
  const input = join(modelDir({}), 'in.jsonl');
  writeFileSync(input, '{}\n');
  const results = await Promise.all([
    runOctavo(['run-batch', '-o', 'x']),
    runOctavo(['run-batch', '-i', input, '-o', 'x']),
    runOctavo(['run-batch', '-i', '/does/not/exist', '-o', 'x']),
  ]);
  expect(results.map(({ code }) => code)).toEqual([2, 2, 2]);
  expect(results.map(({ stderr }) => stderr)).toEqual([
    'octavo: --input-file must name the file with the requests\n',
    `octavo: --input-file ${input}:1: must have custom_id (a text that is not empty), method, url and body (an object)\n`,
    'octavo: --input-file /does/not/exist: cannot be read (ENOENT)\n',
  ]);
});
