import { createHash, randomBytes } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { mkdir, open, readdir, readFile, rename, rm, stat, statfs } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { OctavoError } from '../../errors.js';

/** A file of an entry, as it was when the entry was made. */
interface StoredFile {
  readonly name: string;
  readonly size: number;
  /** Milliseconds; a file that was not touched since is not hashed again. */
  readonly modified: number;
  readonly sha256: string;
}

/** What makes an entry complete: it is written last. */
interface Manifest {
  readonly format: 1;
  readonly key: string;
  readonly files: readonly StoredFile[];
  /** What was done to the model, one line each. */
  readonly rewrites: readonly string[];
}

/** A rewritten model on disk. */
export interface CachedModel {
  readonly directory: string;
  readonly rewrites: readonly string[];
}

/** What a maker has put into an entry's directory; hashes in hexadecimal. */
export interface EntryContent {
  readonly files: readonly { readonly name: string; readonly sha256: string }[];
  readonly rewrites: readonly string[];
}

const MANIFEST = 'manifest.json';
const PARTIAL = '.partial-';
/** What is left of a process that was killed goes when it is surely dead. */
const STALE_MS = 24 * 3600 * 1000;

/**
 * Rewritten models, one directory each, named by all that they were made from. An entry is made in
 * a directory of its own, made durable, and then renamed into place: it is there as a whole or not
 * at all. Two processes that make the same entry at once do the work twice, and the first rename
 * wins; nobody waits for a lock of somebody who died.
 */
export class ModelCache {
  readonly #directory: string;

  constructor(directory: string) {
    this.#directory = directory;
  }

  /** The entry, or null when it is not there, or not what was written. */
  async find(key: string): Promise<CachedModel | null> {
    const directory = join(this.#directory, key);
    let manifest: Manifest;
    try {
      manifest = JSON.parse(await readFile(join(directory, MANIFEST), 'utf8')) as Manifest;
      if (manifest.format !== 1 || manifest.key !== key) return null;
      for (const file of manifest.files) if (!(await isIntact(directory, file))) return null;
    } catch {
      // Missing, unreadable or cut short: it is made again, and what keeps it from being made is
      // then an error.
      return null;
    }
    return { directory, rewrites: manifest.rewrites };
  }

  /**
   * Makes an entry, in place of a damaged one.
   *
   * @param bytes what it will need, about: checked before the work is done
   * @param make writes the entry's files into a directory
   * @throws OctavoError `model_cache_unusable`: no room, no permission; which directory, and the
   *   flag that names another
   */
  async add(
    key: string,
    bytes: number,
    make: (directory: string) => Promise<EntryContent>,
  ): Promise<CachedModel> {
    const partial = join(
      this.#directory,
      `${PARTIAL}${process.pid}-${randomBytes(6).toString('hex')}`,
    );
    try {
      await makeDirectory(partial);
      await this.#removeStale();
      await this.#assertRoom(bytes);
      const { files, rewrites } = await make(partial);
      const stored = await Promise.all(files.map((file) => describe(partial, file)));
      const manifest: Manifest = { format: 1, key, files: stored, rewrites };
      await writeDurably(join(partial, MANIFEST), `${JSON.stringify(manifest, null, 1)}\n`);
      await syncDirectory(partial);
      return { directory: await this.#place(key, partial), rewrites };
    } catch (error) {
      await rm(partial, { recursive: true, force: true }).catch(() => undefined);
      throw this.#explain(error, bytes);
    }
  }

  /** Renames a finished entry into place. @returns where it, or that of a faster process, is */
  async #place(key: string, partial: string): Promise<string> {
    const final = join(this.#directory, key);
    for (let attempt = 0; ; attempt++) {
      try {
        await rename(partial, final);
        await syncDirectory(this.#directory);
        return final;
      } catch (error) {
        if (attempt === 8 || !['ENOTEMPTY', 'EEXIST', 'EPERM'].includes(codeOf(error))) throw error;
      }
      if (await this.find(key)) {
        await rm(partial, { recursive: true, force: true });
        return final;
      }
      // A damaged one is in the way. Moved first: a directory is not removed in one piece.
      const aside = `${partial}-damaged`;
      await rename(final, aside).catch(() => undefined);
      await rm(aside, { recursive: true, force: true });
    }
  }

  async #removeStale(): Promise<void> {
    for (const name of await readdir(this.#directory)) {
      if (!name.startsWith(PARTIAL)) continue;
      const path = join(this.#directory, name);
      const modified = await stat(path).then(
        ({ mtimeMs }) => mtimeMs,
        () => Number.POSITIVE_INFINITY,
      );
      if (Date.now() - modified > STALE_MS) await rm(path, { recursive: true, force: true });
    }
  }

  async #assertRoom(bytes: number): Promise<void> {
    const { bavail, bsize } = await statfs(this.#directory);
    if (bavail * bsize < bytes) throw new NoRoomError();
  }

  #explain(error: unknown, bytes: number): unknown {
    const code = codeOf(error);
    const hint = '--model-cache-dir names another directory';
    const about = `the rewritten model (about ${Math.ceil(bytes / 2 ** 20)} MiB) cannot be kept in ${this.#directory}`;
    if (error instanceof NoRoomError || ['ENOSPC', 'EDQUOT', 'EFBIG'].includes(code)) {
      return cacheError(`${about}: the disk is full; ${hint}`, error);
    }
    if (['EACCES', 'EPERM', 'EROFS', 'ENOTDIR', 'EEXIST', 'EIO', 'ENOENT'].includes(code)) {
      const reason = error instanceof Error ? error.message : code;
      return cacheError(`${about}: ${reason}; ${hint}`, error);
    }
    return error;
  }
}

/**
 * With its parents. Node's own `recursive` never comes back where the system answers ENOENT for a
 * parent that exists, as /proc does.
 */
export async function makeDirectory(path: string): Promise<void> {
  const parent = dirname(path);
  const exists = await stat(parent).catch(() => null);
  if (!exists && parent !== path) await makeDirectory(parent);
  await mkdir(path).catch((error: unknown) => {
    if (codeOf(error) !== 'EEXIST') throw error;
  });
}

class NoRoomError extends Error {}

function cacheError(message: string, cause: unknown): OctavoError {
  return new OctavoError('model_cache_unusable', message, { param: '--model-cache-dir', cause });
}

function codeOf(error: unknown): string {
  return error instanceof Error && 'code' in error ? String(error.code) : '';
}

async function describe(
  directory: string,
  { name, sha256 }: EntryContent['files'][number],
): Promise<StoredFile> {
  const { size, mtimeMs } = await stat(join(directory, name));
  return { name, size, modified: mtimeMs, sha256 };
}

async function isIntact(directory: string, file: StoredFile): Promise<boolean> {
  const path = join(directory, file.name);
  const { size, mtimeMs } = await stat(path);
  if (size !== file.size) return false;
  return mtimeMs === file.modified || (await hashFile(path)) === file.sha256;
}

async function hashFile(path: string): Promise<string> {
  const hash = createHash('sha256');
  for await (const piece of createReadStream(path, { highWaterMark: 2 ** 20 })) {
    hash.update(piece as Uint8Array);
  }
  return hash.digest('hex');
}

/** @returns the content's SHA-256, hexadecimal */
export async function writeDurably(path: string, content: string | Uint8Array): Promise<string> {
  const file = await open(path, 'wx');
  try {
    await file.writeFile(content);
    await file.sync();
  } finally {
    await file.close();
  }
  return createHash('sha256').update(content).digest('hex');
}

/** A name is durable when its directory is. Windows has no such thing, and no need. */
async function syncDirectory(path: string): Promise<void> {
  if (process.platform === 'win32') return;
  const directory = await open(path, 'r');
  try {
    await directory.sync();
  } finally {
    await directory.close();
  }
}
