import { readlinkSync } from 'node:fs';
import { open, readdir, rename, rm, stat } from 'node:fs/promises';
import { hostname } from 'node:os';
import { basename, dirname, join } from 'node:path';

/**
 * A download touches its file at least once a minute, or has given up: half a minute of silence, at
 * most one of waiting.
 */
const STALE_MS = 2 * 60_000;
/** Long enough for one that began at the same time to see that it must step back. */
const SETTLE_MS = 200;

/** A process that downloads, as its partial files' names say it. */
export interface Owner {
  /** Where the process ids of this one mean something. */
  readonly host: string;
  readonly pid: number;
}

/** This process. */
export const THIS_PROCESS: Owner = {
  host: `${hostname()}${pidNamespace()}`.replaceAll(/[^\w-]/g, '_'),
  pid: process.pid,
};

/**
 * Containers that use their host's network share its name, but not its process ids: Linux numbers
 * their worlds.
 */
function pidNamespace(): string {
  try {
    return `-${/\d+/.exec(readlinkSync('/proc/self/ns/pid'))?.[0] ?? ''}`;
  } catch {
    return '';
  }
}

/**
 * The part of a blob that is here, `<blob>.<host>.<pid>.incomplete`: its name says who writes to
 * it, so that two processes never write to one file. A renaming, which only one of two can do,
 * takes over what a dead process has left.
 *
 * @returns the file to go on with, its own or taken over, perhaps empty; null while another process
 *   downloads the same blob
 */
export async function claimPartial(
  blob: string,
  owner: Owner,
  wait: (ms: number) => Promise<void>,
): Promise<string | null> {
  const own = `${blob}.${owner.host}.${owner.pid}.incomplete`;
  const others = await partialsOf(blob, own);
  for (const file of others) {
    if (!(await isAbandoned(file, owner))) return null;
  }
  for (const file of others) {
    // The first will do. One that another process has taken in the meantime is gone.
    const taken = await rename(file, own).then(
      () => true,
      () => false,
    );
    if (taken) return own;
  }
  await (await open(own, 'a')).close();
  // Two that began together may see each other now: the first by name stays, and goes on unless the
  // other had not seen it.
  let rivals = await partialsOf(blob, own);
  if (rivals.length > 0 && rivals.every((file) => own < file)) {
    await wait(SETTLE_MS);
    rivals = await partialsOf(blob, own);
  }
  if (rivals.length === 0) return own;
  await rm(own, { force: true });
  return null;
}

async function partialsOf(blob: string, own: string): Promise<string[]> {
  const dir = dirname(blob);
  const start = `${basename(blob)}.`;
  const names = await readdir(dir);
  return names
    .filter((name) => name.startsWith(start) && /\.[\w-]+\.\d+\.incomplete$/.test(name))
    .map((name) => join(dir, name))
    .filter((file) => file !== own)
    .sort();
}

async function isAbandoned(file: string, owner: Owner): Promise<boolean> {
  const [, host, pid] = /\.([\w-]+)\.(\d+)\.incomplete$/.exec(file) ?? [];
  if (host === owner.host && !isAlive(Number(pid))) return true;
  const found = await stat(file).catch(() => null);
  return found === null || Date.now() - found.mtimeMs > STALE_MS;
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}
