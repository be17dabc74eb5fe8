import { open, readdir, rename, rm, stat } from 'node:fs/promises';
import { hostname } from 'node:os';
import { basename, dirname, join } from 'node:path';

/** A download writes at least every half minute, or has given up. */
const STALE_MS = 5 * 60_000;

/** A process that downloads, as its partial files' names say it. */
export interface Owner {
  readonly host: string;
  readonly pid: number;
}

/** This process. */
export const THIS_PROCESS: Owner = {
  host: hostname().replaceAll(/[^\w-]/g, '_'),
  pid: process.pid,
};

/**
 * The part of a blob that is here, `<blob>.<host>.<pid>.incomplete`: its name says who writes to it, so that two processes never write to
 * one file. A renaming, which only one of two can do, takes over what a dead process has left.
 *
 * @returns the file to go on with, its own or taken over, perhaps empty; null while another process downloads the same blob
 */
export async function claimPartial(blob: string, owner: Owner): Promise<string | null> {
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
  // Two that began together see each other now; the first by name goes on.
  const rivals = await partialsOf(blob, own);
  if (!rivals.some((file) => file < own)) return own;
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
