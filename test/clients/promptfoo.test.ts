import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { modelDir } from '../support/model-dir.js';
import { type NpmPrograms, npmPrograms } from '../support/npm-programs.js';
import { startSharedOctavo } from '../support/octavo-process.js';

/** Of an evaluation in which an assertion did not hold. */
const NOT_ALL_HOLD = 100;

/** Against hangs alone. */
const TIME_LIMIT_MS = 300_000;

const PARIS = 'The capital of France is Paris.';
const question = 'What is the capital of France?';

let programs: NpmPrograms;
let url = '';
let stop = (): void => undefined;

beforeAll(async () => {
  programs = await npmPrograms(new URL('promptfoo.json', import.meta.url), '1.6 GB');
  if (programs.absent !== undefined) return;
  const server = await startSharedOctavo();
  [url, stop] = [server.url, server.kill];
}, 900_000);

afterAll(() => stop());

/** As its page for endpoints of OpenAI's form shows it. */
const config = (): object => {
  const city = {
    type: 'object',
    properties: { name: { enum: ['Paris'] } },
    required: ['name'],
    additionalProperties: false,
  };
  const schema = { name: 'city', strict: true, schema: city };
  const own = { apiBaseUrl: `${url}/v1`, apiKey: 'none', temperature: 0 };
  const provider = (label: string, more: object) => ({
    id: 'openai:chat:octavo-tiny',
    label,
    config: { ...own, ...more },
  });
  return {
    prompts: ['{{question}}'],
    providers: [
      provider('text', { max_tokens: 16 }),
      provider('form', {
        max_tokens: 100,
        response_format: { type: 'json_schema', json_schema: schema },
      }),
    ],
    tests: [
      {
        vars: { question },
        providers: ['text'],
        assert: [
          { type: 'equals', value: PARIS },
          { type: 'javascript', value: 'output.length < 40' },
        ],
      },
      { vars: { question }, providers: ['text'], assert: [{ type: 'contains', value: 'London' }] },
      {
        vars: { question },
        providers: ['form'],
        assert: [{ type: 'javascript', value: "output.name === 'Paris'" }],
      },
    ],
  };
};

interface Evaluation {
  readonly results: {
    readonly stats: Readonly<Record<'successes' | 'failures' | 'errors', number>>;
    readonly results: readonly {
      readonly success: boolean;
      readonly response: { readonly output: unknown };
    }[];
  };
}

test('promptfoo evaluates answers, and says which assertion does not hold', {
  timeout: TIME_LIMIT_MS + 30_000,
}, async ({ skip }) => {
  skip(programs.absent !== undefined, programs.absent);
  const folder = modelDir({ 'config.json': JSON.stringify(config()) });
  const output = join(folder, 'output.json');
  const env = {
    PATH: [programs.bin, '/usr/local/bin', '/usr/bin', '/bin'].join(delimiter),
    HOME: folder,
    PROMPTFOO_CONFIG_DIR: folder,
    PROMPTFOO_DISABLE_TELEMETRY: '1',
    PROMPTFOO_DISABLE_UPDATE: '1',
    PROMPTFOO_DISABLE_REMOTE_GENERATION: '1',
  };
  const args = ['eval', '-c', 'config.json', '-o', output, '--no-cache', '--no-write'];
  const options = { cwd: folder, env, timeout: TIME_LIMIT_MS };
  const [code, text] = await new Promise<[unknown, string]>((resolve) => {
    execFile(join(programs.bin, 'promptfoo'), args, options, (error, stdout, stderr) =>
      resolve([error?.code, stdout + stderr]),
    );
  });
  expect([code, text]).toEqual([NOT_ALL_HOLD, expect.stringContaining('Eval')]);
  const { results } = (JSON.parse(readFileSync(output, 'utf8')) as Evaluation).results;
  const given = results.map(({ success, response }) => [success, response.output]);
  expect(given).toHaveLength(3);
  expect(given).toEqual(
    expect.arrayContaining([
      [true, PARIS],
      [false, PARIS],
      [true, { name: 'Paris' }],
    ]),
  );
});
