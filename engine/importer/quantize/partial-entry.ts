import { randomBytes } from 'node:crypto';
import { readdir, readFile, rename, rm, stat, utimes, writeFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { makeDirectory } from './make-directory.js';

const PARTIAL = '.partial-';
const OWNER = 'owner.json';
/** Age after which what an interrupted process has left is removed. */
const STALE_MS = 24 * 3600 * 1000;
/** How often an owner shows that it is there, and after how long it is taken to be gone. */
const BEAT_MS = 10_000;
const SILENT_MS = 60_000;

/** Who makes an entry. */
interface Owner {
  readonly key: string;
  readonly host: string;
  readonly pid: number;
  /** When the process began, in milliseconds: another may have its number later. */
  readonly started: number;
}

/** Of clocks that are set meanwhile. */
const TOLERANCE_MS = 2000;

/**
 * The directory of an entry in the making. What a killed process has left of the same entry is
 * taken over by renaming it, which one of several processes can do. There is no lock: should a
 * silent owner go on after all, it writes the same bytes to the same places.
 */
export class PartialEntry {
  readonly directory: string;
  readonly #beat: NodeJS.Timeout;

  private constructor(directory: string) {
    this.directory = directory;
    const owner = join(directory, OWNER);
    this.#beat = setInterval(() => {
      const now = new Date();
      utimes(owner, now, now).catch(() => undefined);
    }, BEAT_MS);
    this.#beat.unref();
  }

  /** Begins an entry, or goes on with one. Removes what is long left behind. */
  static async open(cacheDir: string, key: string): Promise<PartialEntry> {
    const name = `${PARTIAL}${process.pid}-${randomBytes(6).toString('hex')}`;
    const directory = join(cacheDir, name);
    await makeDirectory(directory);
    // The clock of the file system, which may be another machine's.
    const now = (await stat(directory)).mtimeMs;
    const owner: Owner = { key, host: hostname(), pid: process.pid, started: startOfProcess() };
    for (const other of await readdir(cacheDir)) {
      if (!other.startsWith(PARTIAL) || other === name) continue;
      const path = join(cacheDir, other);
      if (await isLeft(path, key, now)) {
        await rm(directory, { recursive: true });
        if (await moved(path, directory)) break;
        await makeDirectory(directory);
      }
      if (await isStale(path, now)) await rm(path, { recursive: true, force: true });
    }
    await writeFile(join(directory, OWNER), JSON.stringify(owner));
    return new PartialEntry(directory);
  }

  /** The entry is whole: only its own files stay. */
  async finish(): Promise<void> {
    clearInterval(this.#beat);
    await rm(join(this.directory, OWNER), { force: true });
  }

  async remove(): Promise<void> {
    clearInterval(this.#beat);
    await rm(this.directory, { recursive: true, force: true }).catch(() => undefined);
  }
}

function startOfProcess(): number {
  return Date.now() - 1000 * process.uptime();
}

async function moved(from: string, to: string): Promise<boolean> {
  return rename(from, to).then(
    () => true,
    () => false,
  );
}

/** Whether a directory holds a part of an entry, whose maker is gone. */
async function isLeft(directory: string, key: string, now: number): Promise<boolean> {
  const file = join(directory, OWNER);
  try {
    const { mtimeMs } = await stat(file);
    const owner = JSON.parse(await readFile(file, 'utf8')) as Owner;
    if (owner.key !== key) return false;
    return now - mtimeMs > SILENT_MS || (owner.host === hostname() && !isRunning(owner));
  } catch {
    // Removed meanwhile, or cut short by a crash: it is left to become stale.
    return false;
  }
}

function isRunning({ pid, started }: Owner): boolean {
  if (pid === process.pid) return Math.abs(started - startOfProcess()) < TOLERANCE_MS;
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    // Of another user.
    return error instanceof Error && 'code' in error && error.code === 'EPERM';
  }
}

async function isStale(directory: string, now: number): Promise<boolean> {
  const newest = await Promise.all(
    [directory, join(directory, OWNER)].map((path) =>
      stat(path).then(
        ({ mtimeMs }) => mtimeMs,
        () => Number.NEGATIVE_INFINITY,
      ),
    ),
  );
  const last = Math.max(...newest);
  return Number.isFinite(last) && now - last > STALE_MS;
}
