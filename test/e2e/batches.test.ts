import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import OpenAI, { toFile } from 'openai';
import { expect, test } from 'vitest';
import { eventually } from '../support/eventually.js';
import { modelDir } from '../support/model-dir.js';
import { runOctavo, startOctavo } from '../support/octavo-process.js';

const ENDPOINT = '/v1/completions';
const LINES = 40;

/** Long enough that some are on their way at any moment, and none is alike. */
const requests = Array.from({ length: LINES }, (_, i) =>
  JSON.stringify({
    custom_id: `line-${i}`,
    method: 'POST',
    url: ENDPOINT,
    body: { prompt: `The owl number ${i}`, max_tokens: 32, temperature: 0, ignore_eos: true },
  }),
);

/** The server is killed while it writes the answer of this number. */
const KILLED_AT = 12;

const serve = async (directory: string, env: Record<string, string> = {}) => {
  const flags = ['--batch-dir', directory, '--batch-max-num-seqs', '2', '--threads', '1'];
  const { child, url } = await startOctavo(flags, env);
  return { child, client: new OpenAI({ baseURL: `${url}/v1`, apiKey: 'none' }) };
};

async function begin(client: OpenAI): Promise<string> {
  const file = await toFile(Buffer.from(requests.join('\n')), 'requests.jsonl');
  const input = await client.files.create({ file, purpose: 'batch' });
  const made = await client.batches.create({
    input_file_id: input.id,
    endpoint: ENDPOINT,
    completion_window: '24h',
  });
  return made.id;
}

/** The choices of each line by its `custom_id`, as text; ids and times are of each answer alone. */
async function answers(client: OpenAI, id: string): Promise<[string, string][]> {
  await eventually(
    async () => (await client.batches.retrieve(id)).status === 'completed',
    'the batch is completed',
    { seconds: 200, everyMs: 50 },
  );
  const batch = await client.batches.retrieve(id);
  expect(batch.request_counts).toEqual({ total: LINES, completed: LINES, failed: 0 });
  expect(batch.error_file_id ?? null).toBeNull();
  const text = await (await client.files.content(batch.output_file_id ?? '')).text();
  const found = text
    .trim()
    .split('\n')
    .map((line) => {
      const { custom_id: name, response } = JSON.parse(line) as {
        custom_id: string;
        response: { body: { choices: unknown; usage: unknown } };
      };
      const { choices, usage } = response.body;
      return [name, JSON.stringify([choices, usage])] as [string, string];
    });
  return found.sort(([a], [b]) => a.localeCompare(b));
}

test('a batch whose server is killed goes on: each line is answered once, and as ever', {
  timeout: 500_000,
}, async () => {
  const directory = modelDir({});
  const first = await serve(directory, {
    NODE_OPTIONS: `--import ${new URL('../support/kill-writer.mjs', import.meta.url).href}`,
    KILL_AT_APPEND: String(KILLED_AT),
  });
  const ended = once(first.child, 'close');
  const id = await begin(first.client);
  expect(await ended).toEqual([null, 'SIGKILL']);
  const files = readdirSync(join(directory, 'files'));
  const read = (name: string) => readFileSync(join(directory, 'files', name), 'utf8');
  const journal = files.find((name) => read(name).includes('batch_req_')) ?? '';
  const left = read(journal).split('\n');
  expect(left).toHaveLength(KILLED_AT);
  expect(() => JSON.parse(left.at(-1) ?? '') as unknown).toThrow(SyntaxError);

  const { client } = await serve(directory);
  const broken = await answers(client, id);
  const refused = await runOctavo(['serve', '--port', '0', '--batch-dir', directory]);
  expect(refused.stderr).toMatch(/octavo: --batch-dir .*: another server has it: each needs one/);
  expect(refused.code).toBe(2);

  const whole = await answers(client, await begin(client));
  expect(new Set(broken.map(([name]) => name)).size).toBe(LINES);
  expect(broken).toEqual(whole);
});
