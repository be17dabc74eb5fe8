import { hash } from 'node:crypto';
import { readFile, realpath, rename, rm, stat, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { Worker } from 'node:worker_threads';
import { OctavoError } from '../errors.js';
import { makeDirectory } from '../importer/quantize/make-directory.js';

export interface ContentHashOptions {
  /** Directory in which hashes of files are kept; null for none. */
  readonly cacheDir: string | null;
  /** Aborts the work; the promise rejects with its reason. */
  readonly signal: AbortSignal;
  /** Hashes files, in hexadecimal and in order; default: in a thread. */
  readonly hashFiles?: HashFiles;
}

export type HashFiles = (paths: readonly string[], signal: AbortSignal) => Promise<string[]>;

/** A file, with what shows that it has not been written since its content was hashed. */
interface FileState {
  readonly path: string;
  readonly size: string;
  readonly modified: string;
  /** Changes even when a file is written and its modification time is set back. */
  readonly changed: string;
  readonly inode: string;
}

interface RememberedHash extends FileState {
  readonly sha256: string;
}

/**
 * SHA-256 of a model's content, file by file (`contentFiles`). Models of equal content have
 * equal hashes wherever they are stored; models that merely have equal sizes do not. A separate
 * thread reads the files in pieces while the caller imports the model. Hashes are kept by path,
 * size, times and inode.
 *
 * @param paths the files; one of them names the others, or they have fixed names
 * @returns hexadecimal
 * @throws OctavoError `model_file_missing`, `model_file_corrupt` when a file cannot be read, or is
 *   no file
 */
export async function contentHash(
  paths: readonly string[],
  options: ContentHashOptions,
): Promise<string> {
  const { cacheDir, signal, hashFiles = hashInThread } = options;
  const states = await Promise.all(paths.map(stateOf));
  const known = await Promise.all(states.map((state) => recall(cacheDir, state)));
  const unknown = states.filter((_, index) => known[index] === null);
  signal.throwIfAborted();
  const made =
    unknown.length === 0
      ? []
      : await hashFiles(
          unknown.map(({ path }) => path),
          signal,
        );
  if (cacheDir !== null) {
    await Promise.all(
      unknown.map((state, index) => remember(cacheDir, { ...state, sha256: made[index] })),
    );
  }
  const fresh = made.values();
  const hashes = known.map((sha256) => sha256 ?? fresh.next().value);
  // The names need not be hashed: a model's files contain them.
  return hash('sha256', JSON.stringify(hashes));
}

async function stateOf(name: string): Promise<FileState> {
  const path = await realpath(name).catch((cause: unknown) => {
    throw new OctavoError('model_file_missing', `${name}: cannot be read`, { param: name, cause });
  });
  const stats = await stat(path, { bigint: true });
  if (!stats.isFile()) {
    throw new OctavoError('model_file_corrupt', `${name}: is not a file`, { param: name });
  }
  return {
    path,
    size: String(stats.size),
    modified: String(stats.mtimeNs),
    changed: String(stats.ctimeNs),
    inode: String(stats.ino),
  };
}

const rememberedAt = (cacheDir: string, { path }: FileState): string =>
  join(cacheDir, 'content-hashes', `${hash('sha256', path)}.json`);

async function recall(cacheDir: string | null, state: FileState): Promise<string | null> {
  if (cacheDir === null) return null;
  let found: Partial<RememberedHash>;
  try {
    found = JSON.parse(await readFile(rememberedAt(cacheDir, state), 'utf8')) as typeof found;
  } catch {
    // Missing or truncated: the file is hashed again.
    return null;
  }
  const isSame = Object.entries(state).every(([key, value]) => found[key as 'path'] === value);
  return isSame && /^[0-9a-f]{64}$/.test(found.sha256 ?? '') ? (found.sha256 ?? null) : null;
}

/**
 * If the directory cannot be written, files are hashed again at each start, and nothing else
 * happens.
 */
async function remember(cacheDir: string, entry: RememberedHash): Promise<void> {
  const path = rememberedAt(cacheDir, entry);
  const partial = `${path}.${process.pid}`;
  try {
    await makeDirectory(dirname(path));
    await writeFile(partial, `${JSON.stringify(entry)}\n`);
    await rename(partial, path);
  } catch {
    await rm(partial, { force: true }).catch(() => undefined);
  }
}

function hashInThread(paths: readonly string[], signal: AbortSignal): Promise<string[]> {
  return new Promise((resolvePromise, reject) => {
    const worker = new Worker(new URL('./hash-thread.mjs', import.meta.url), {
      workerData: { paths },
    });
    const stop = (): void => {
      reject(signal.reason);
      void worker.terminate();
    };
    signal.addEventListener('abort', stop, { once: true });
    worker.once('message', resolvePromise);
    worker.once('error', (cause) => {
      const message = `the model's files cannot be read: ${cause.message}`;
      reject(new OctavoError('model_file_missing', message, { cause }));
    });
    worker.once('exit', () => signal.removeEventListener('abort', stop));
  });
}
