import { readlinkSync } from 'node:fs';
import { open, readdir, rename, rm, stat } from 'node:fs/promises';
import { hostname } from 'node:os';
import { basename, dirname, join } from 'node:path';

/**
 * Age of a partial file after which its process counts as dead. A running download touches its file
 * at least once a minute.
 */
const STALE_MS = 2 * 60_000;
/** Milliseconds in which a download that began at the same time notices this one. */
const SETTLE_MS = 200;

/** A downloading process, as the names of its partial files state it. */
export interface Owner {
  /** The host on which its process id is valid. */
  readonly host: string;
  readonly pid: number;
}

/** This process. */
export const THIS_PROCESS: Owner = {
  host: `${hostname()}${pidNamespace()}`.replaceAll(/[^\w-]/g, '_'),
  pid: process.pid,
};

/**
 * Containers that use their host's network share its name, but not its process ids; Linux gives
 * each namespace of process ids a number. On other systems, this is empty.
 */
function pidNamespace(): string {
  try {
    return `-${/\d+/.exec(readlinkSync('/proc/self/ns/pid'))?.[0] ?? ''}`;
  } catch {
    return '';
  }
}

/**
 * Claims the partial file of a blob, `<blob>.<host>.<pid>.incomplete`. Its name states the process
 * that writes to it, so that two processes never write to one file. The file of a dead process is
 * taken over by renaming it, which only one process can do.
 *
 * @returns the file to continue, its own or taken over, possibly empty; null while another process
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
    // Takes the first that can be renamed; one that another process has just taken no longer
    // exists.
    const taken = await rename(file, own).then(
      () => true,
      () => false,
    );
    if (taken) return own;
  }
  await (await open(own, 'a')).close();
  // Two processes that began together see each other now: the first by name continues, and the
  // other steps back.
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
