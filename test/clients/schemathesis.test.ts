import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, test } from 'vitest';
import {
  type PythonEnvironment,
  pythonEnvironment,
} from '../../bench/replicas/python-environment.js';
import { bytesOf } from '../support/byte-model.js';
import { ScriptedEngine } from '../support/scripted-engine.js';
import { startTestServer, stopTestServers } from '../support/test-server.js';

const KEY = 'sk-schemathesis';

/** Against hangs alone. */
const TIME_LIMIT_MS = 900_000;

/**
 * All checks but three. What a schema allows can be refused, because the model decides it: which
 * tokens, how many, whether there are tools in its template (`positive_data_acceptance`). The other
 * two are of objects that one operation makes for others, and need links that OpenAI's API has not.
 */
const UNCHECKED = ['positive_data_acceptance', 'use_after_free', 'ensure_resource_availability'];

/** Their bodies are those of other operations, which are asked. */
const ALIASES = [
  '/rerank',
  '/v2/rerank',
  '/score',
  '/tokenize',
  '/v1/cache/prefixes',
  '/v1/responses/input_tokens',
  '/v1/messages/count_tokens',
];

let environment: PythonEnvironment;
let folder: string;

beforeAll(async () => {
  environment = await pythonEnvironment(new URL('schemathesis-requirements.txt', import.meta.url));
  folder = mkdtempSync(join(tmpdir(), 'octavo-schemathesis-'));
}, 900_000);

afterAll(async () => {
  await stopTestServers();
  rmSync(folder, { recursive: true, force: true });
});

/** It answers anything at once, so that the server is what is tested. */
const engine = new ScriptedEngine(({ pooling, labels, promptTokenIds }) => {
  if (pooling !== null) {
    return { steps: [[]], finish: 'stop', embedding: new Float32Array(8).fill(1) };
  }
  if (labels) return { steps: [[]], finish: 'length', labelLogprobs: labels.map(() => -3) };
  const pinnedTokens = promptTokenIds.length;
  return { steps: [bytesOf('a{"'), bytesOf('é')], finish: 'length', pinnedTokens };
});

test('schemathesis: every answer is one that /openapi.json describes, and none is a 5xx', {
  timeout: TIME_LIMIT_MS + 30_000,
}, async ({ skip }) => {
  skip(environment.absent !== undefined, environment.absent);
  const settings = { batchDir: join(folder, 'batches'), allowRuntimeLoraUpdating: true };
  const server = await startTestServer(engine, { settings, apiKeys: [KEY] });
  const args = [
    '-m',
    'schemathesis.cli',
    'run',
    `${server.url}/openapi.json`,
    `--header=Authorization: Bearer ${KEY}`,
    '--generation-deterministic',
    // The values at a schema's bounds and beyond them. `test/fuzz/` has random ones.
    '--phases=coverage',
    ...ALIASES.map((path) => `--exclude-path=${path}`),
    `--exclude-checks=${UNCHECKED.join(',')}`,
    '--continue-on-failure',
    // Some of these measure how fast the machine is.
    '--suppress-health-check=all',
    '--warnings=off',
    '--no-color',
  ];
  const env = {
    ...process.env,
    SCHEMATHESIS_HOOKS: 'schemathesis_hooks',
    PYTHONPATH: fileURLToPath(new URL('.', import.meta.url)),
    PYTHONDONTWRITEBYTECODE: '1',
  };
  const options = { cwd: folder, env, timeout: TIME_LIMIT_MS, maxBuffer: 2 ** 26 };
  const output = await new Promise<string>((resolve) => {
    execFile(environment.python, args, options, (error, stdout, stderr) => {
      resolve(error ? `${String(error.code)}: ${stdout}${stderr}` : stdout);
    });
  });
  const { paths } = (await (await fetch(`${server.url}/openapi.json`)).json()) as {
    paths: Record<string, object>;
  };
  const asked = Object.entries(paths).filter(([path]) => !ALIASES.includes(path));
  const count = asked.flatMap(([, methods]) => Object.keys(methods)).length;
  expect(output).toContain(`Tested: ${count}`);
  expect(output).toContain('No issues found');
  expect(server.log.filter(({ level }) => Number(level) >= 50)).toEqual([]);
});
