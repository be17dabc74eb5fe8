import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { dirname, join } from 'node:path';
import { fetchWith } from '../../bench/models/fetch-with.js';

const TIME_LIMIT_MS = 600_000;

export interface NpmPrograms {
  /** Has the programs; '' when they are absent. */
  readonly bin: string;
  /** Why they are. */
  readonly absent?: string;
}

/**
 * Programs of npm that are too large for the project's own packages. CI (`CI=true`) installs them,
 * once on a machine: they are kept in `octavo/test-agents` under `XDG_CACHE_HOME`, `~/.cache`
 * without it. Elsewhere, tests that need them are skipped unless they are there.
 *
 * @param file a `package.json` with exact versions; these name their own packages exactly, too
 * @param size of all that is installed, for people
 * @throws Error why they cannot be installed, in CI
 */
export async function npmPrograms(file: URL, size: string): Promise<NpmPrograms> {
  const wanted = readFileSync(file);
  const version = createHash('sha256').update(wanted).digest('hex').slice(0, 12);
  const cache = process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache');
  const installed = join(cache, 'octavo', 'test-agents', version);
  const bin = join(installed, 'node_modules', '.bin');
  if (existsSync(bin)) return { bin };
  if (process.env['CI'] !== 'true') {
    return { bin: '', absent: `${installed} is missing: CI=true installs it, ${size}` };
  }
  // It moves as a whole, so that no process finds half of it.
  const work = `${installed}.${process.pid}`;
  try {
    mkdirSync(work, { recursive: true });
    writeFileSync(join(work, 'package.json'), wanted);
    const options = { cwd: work, timeout: TIME_LIMIT_MS };
    const args = ['install', '--no-audit', '--no-fund', '--no-package-lock'];
    await fetchWith('npm', args, options);
    mkdirSync(dirname(installed), { recursive: true });
    renameSync(work, installed);
  } catch (error) {
    // Another process may have been quicker.
    if (!existsSync(bin)) throw error;
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
  return { bin };
}
