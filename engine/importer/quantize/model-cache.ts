import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { open, readdir, readFile, rename, rm, stat, statfs } from 'node:fs/promises';
import { join } from 'node:path';
import { OctavoError } from '../../errors.js';
import { PartialEntry } from './partial-entry.js';

/** A file of an entry, as it was when the entry was written. */
interface StoredFile {
  readonly name: string;
  readonly size: number;
  /** Milliseconds; a file that was not modified since is not hashed again. */
  readonly modified: number;
  readonly sha256: string;
}

/** Marks an entry as complete: it is written last. */
interface Manifest {
  readonly format: 1;
  readonly key: string;
  /** The model's file, or that of an earlier rewriting of it. */
  readonly source?: string;
  readonly files: readonly StoredFile[];
  /** One line for each rewriting of the model. */
  readonly rewrites: readonly string[];
}

/** A rewritten model on disk. */
export interface CachedModel {
  readonly directory: string;
  readonly rewrites: readonly string[];
}

/** Content of an entry's directory; hashes in hexadecimal. */
export interface EntryContent {
  readonly files: readonly { readonly name: string; readonly sha256: string }[];
  /** Path of the model's file, for those who list the entries. */
  readonly source?: string;
  readonly rewrites: readonly string[];
}

const MANIFEST = 'manifest.json';
/**
 * Rewritten models, one directory each, named by a hash of all inputs. An entry is written to a
 * directory of its own (`PartialEntry`), synced to disk and then renamed into place, so it is there
 * as a whole or not at all. Two processes that write the same entry at once do the work twice, and
 * the first rename wins; there is no lock that a dead process could hold.
 */
export class ModelCache {
  readonly #directory: string;

  constructor(directory: string) {
    this.#directory = directory;
  }

  /** The entry; null when it is missing or damaged. */
  async find(key: string): Promise<CachedModel | null> {
    const directory = join(this.#directory, key);
    let manifest: Manifest;
    try {
      manifest = JSON.parse(await readFile(join(directory, MANIFEST), 'utf8')) as Manifest;
      if (manifest.format !== 1 || manifest.key !== key) return null;
      for (const file of manifest.files) if (!(await isIntact(directory, file))) return null;
    } catch {
      // Missing, unreadable or cut short: it is written again, and what prevents that is then an
      // error.
      return null;
    }
    return { directory, rewrites: manifest.rewrites };
  }

  /**
   * Writes an entry, and replaces a damaged one.
   *
   * @param bytes approximate size, checked against free space before the work begins
   * @param make writes the entry's files into a directory, which may hold what an interrupted
   *   process has left of them
   * @throws OctavoError `model_cache_unusable`: no space or no permission; names the directory, and
   *   the flag for another
   */
  async add(
    key: string,
    bytes: number,
    make: (directory: string) => Promise<EntryContent>,
  ): Promise<CachedModel> {
    let partial: PartialEntry | null = null;
    try {
      partial = await PartialEntry.open(this.#directory, key);
      const { directory } = partial;
      await this.#assertRoom(bytes - (await sizeOf(directory)));
      const { files, ...others } = await make(directory);
      const stored = await Promise.all(files.map((file) => describe(directory, file)));
      const manifest: Manifest = { format: 1, key, ...others, files: stored };
      await writeDurably(join(directory, MANIFEST), `${JSON.stringify(manifest, null, 1)}\n`);
      await partial.finish();
      await syncDirectory(directory);
      return { directory: await this.#place(key, directory), rewrites: others.rewrites };
    } catch (error) {
      await partial?.remove();
      throw this.#explain(error, bytes);
    }
  }

  /** Renames a finished entry into place. @returns its path, or that of a faster process' entry */
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
      // A damaged entry is in the way. It is moved first, because removing a directory is not
      // atomic.
      const aside = `${partial}-damaged`;
      await rename(final, aside).catch(() => undefined);
      await rm(aside, { recursive: true, force: true });
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

/** Bytes of the files in a directory. */
async function sizeOf(directory: string): Promise<number> {
  const names = await readdir(directory);
  const sizes = await Promise.all(
    names.map(async (name) => (await stat(join(directory, name))).size),
  );
  return sizes.reduce((sum, size) => sum + size, 0);
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
  const file = await open(path, 'w');
  try {
    await file.writeFile(content);
    await file.sync();
  } finally {
    await file.close();
  }
  return createHash('sha256').update(content).digest('hex');
}

/**
 * A file's name is durable once its directory is synced. Windows cannot sync directories, and need
 * not.
 */
async function syncDirectory(path: string): Promise<void> {
  if (process.platform === 'win32') return;
  const directory = await open(path, 'r');
  try {
    await directory.sync();
  } finally {
    await directory.close();
  }
}
