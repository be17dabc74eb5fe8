import { createHash, randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { mkdirSync } from 'node:fs';
import { rename, rm } from 'node:fs/promises';
import { connect, createServer, type Server } from 'node:net';
import { join, relative, resolve } from 'node:path';
import { clip } from '../../engine/clip.js';
import { OctavoError } from '../../engine/errors.js';

const NAME = 'server.sock';

/** Bytes of a socket's path that every system takes, and that leave room for another name. */
const LONGEST_PATH = 94;

/**
 * Makes a directory this server's own: a socket in it listens. It is the system that holds it, and
 * lets go when the process ends, however that ends; what stays then is a name without a server.
 * Servers in several containers of one machine see each other, too; those of several machines do
 * not.
 *
 * @returns a function that gives it back
 * @throws OctavoError `usage` when another server has it, and for one that cannot be used
 */
export async function lockDirectory(directory: string): Promise<() => Promise<void>> {
  const path = lockPath(directory);
  try {
    mkdirSync(directory, { recursive: true, mode: 0o700 });
    const server = (await listen(path)) ?? (await takeOver(path));
    if (!server) throw unusable(directory, 'another server has it: each needs one of its own');
    return () => new Promise((done) => void server.close(() => done()));
  } catch (error) {
    if (error instanceof OctavoError) throw error;
    const { code = 'unknown' } = error as NodeJS.ErrnoException;
    throw unusable(directory, `cannot be used (${code})`);
  }
}

/** The shorter of two ways to the socket, because systems limit the length. */
function lockPath(directory: string): string {
  const path = join(directory, NAME);
  if (process.platform === 'win32') {
    const digest = createHash('sha256').update(resolve(path)).digest('hex');
    return `\\\\.\\pipe\\octavo-${digest}`;
  }
  const [shortest] = [path, relative(process.cwd(), path)].toSorted((a, b) => a.length - b.length);
  if (Buffer.byteLength(shortest) <= LONGEST_PATH) return shortest;
  throw unusable(
    directory,
    `its path is too long: with ${NAME} it must have ${LONGEST_PATH} bytes`,
  );
}

/** @returns null when the name is taken */
async function listen(path: string): Promise<Server | null> {
  const server = createServer((socket) => socket.destroy()).unref();
  try {
    server.listen(path);
    await once(server, 'listening');
    return server;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EADDRINUSE') return null;
    throw error;
  }
}

/**
 * Takes the name of a server that has ended. It is moved away first, and asked again there: of two
 * servers that start at once, the other may have made it just now. (Three at the same moment could
 * still mistake each other: systems cannot replace a socket only if nothing listens there.)
 *
 * @returns null when a server answers
 */
async function takeOver(path: string): Promise<Server | null> {
  if (await isAnswered(path)) return null;
  const old = `${path}.${randomUUID().slice(0, 8)}`;
  try {
    await rename(path, old);
  } catch (error) {
    // Another server was quicker.
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return listen(path);
    throw error;
  }
  if (await isAnswered(old)) {
    await rename(old, path);
    return null;
  }
  await rm(old);
  return listen(path);
}

async function isAnswered(path: string): Promise<boolean> {
  const socket = connect(path);
  try {
    await once(socket, 'connect');
    return true;
  } catch (error) {
    // Whatever else is wrong, a server may be there.
    return !['ECONNREFUSED', 'ENOENT'].includes((error as NodeJS.ErrnoException).code ?? '');
  } finally {
    socket.destroy();
  }
}

const unusable = (directory: string, what: string): OctavoError =>
  new OctavoError('usage', `--batch-dir ${clip(directory)}: ${what}`, { param: '--batch-dir' });
