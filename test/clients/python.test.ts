import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, test } from 'vitest';
import {
  type PythonEnvironment,
  pythonEnvironment,
} from '../../bench/replicas/python-environment.js';
import { startSharedOctavo } from '../support/octavo-process.js';

const SCRIPT = fileURLToPath(new URL('python_clients.py', import.meta.url));

let environment: PythonEnvironment;
let results: Record<string, unknown> = {};
let stop = (): void => undefined;

// The libraries are fetched once on a machine; each command of that has a limit of its own.
beforeAll(async () => {
  environment = await pythonEnvironment(new URL('requirements.txt', import.meta.url));
  if (environment.absent !== undefined) return;
  const server = await startSharedOctavo();
  stop = server.kill;
  const env = { ...process.env, LITELLM_LOCAL_MODEL_COST_MAP: 'True' };
  const call = promisify(execFile)(environment.python, [SCRIPT, server.url], { env });
  results = JSON.parse((await call).stdout) as Record<string, unknown>;
}, 2_000_000);

afterAll(() => stop());

const text = 'The capital of France is Paris.';

test.for<[name: string, expected: object]>([
  ['openai', { text, same: true, form: 'City', vector: true }],
  ['anthropic', { text, same: true, counted: true }],
  ['langchain-openai', { text, same: true, form: 'City' }],
  ['litellm', { text, same: true }],
  ['instructor', { form: 'City' }],
  ['pydantic-ai', { text, form: 'City' }],
  ['ollama', { text, same: true, names: ['octavo-tiny:latest'] }],
  ['llama-index', { text, same: true }],
])('%s of PyPI', ([name, expected], { skip }) => {
  skip(environment.absent !== undefined, environment.absent);
  expect(results[name]).toEqual(expected);
});
