import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { homedir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { fetchWith } from '../models/fetch-with.js';

/** Those of the routers and readers of replicas. */
const ROUTERS = new URL('requirements.txt', import.meta.url);
/** The two routers are 50 MB of wheels, the clients of test/clients 120 MB. */
const TIME_LIMIT_MS = 600_000;

export interface PythonEnvironment {
  /** The interpreter that has the packages; '' when it is absent. */
  readonly python: string;
  /** Why it cannot be made here. */
  readonly absent?: string;
}

/**
 * An environment with the packages of a file, made at most once on a machine: it is kept in
 * `octavo/test-python` under `XDG_CACHE_HOME`, `~/.cache` without it.
 *
 * @throws Error why it cannot be made, in CI (`CI=true`); elsewhere, tests that need it are skipped
 */
export async function pythonEnvironment(file: URL = ROUTERS): Promise<PythonEnvironment> {
  const requirements = fileURLToPath(file);
  const cache = process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache');
  const directory = join(cache, 'octavo', 'test-python', version(requirements));
  const python = join(directory, 'bin', 'python');
  if (existsSync(python)) return { python };
  // Programs of an environment know its place, but the interpreter and its packages do not: it may
  // move as a whole, so that no process finds half of one.
  const work = `${directory}.${process.pid}`;
  try {
    mkdirSync(dirname(directory), { recursive: true });
    await promisify(execFile)('python3', ['-m', 'venv', work], { timeout: TIME_LIMIT_MS });
    const pip = ['-m', 'pip', '--quiet', '--disable-pip-version-check', '--retries', '2'];
    const args = [...pip, 'install', '-r', requirements];
    await fetchWith(join(work, 'bin', 'python'), args, { timeout: TIME_LIMIT_MS });
    renameSync(work, directory);
    return { python };
  } catch (cause) {
    // Another process may have been quicker.
    if (existsSync(python)) return { python };
    const absent = `the packages of ${requirements} cannot be installed (python3 with venv, and PyPI): ${String(cause)}`;
    if (process.env['CI'] === 'true') throw new Error(absent, { cause });
    return { python: '', absent };
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

/** Other packages make another environment. */
function version(requirements: string): string {
  return createHash('sha256').update(readFileSync(requirements)).digest('hex').slice(0, 12);
}
