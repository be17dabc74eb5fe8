import { randomUUID } from 'node:crypto';
import { link, mkdir, readdir, readFile, rename, stat, symlink, writeFile } from 'node:fs/promises';
import { dirname, join, relative, sep } from 'node:path';
import type { HubId } from './hub-id.js';

/** Directory of a repository in the cache. */
export const repositoryDir = (cacheDir: string, repo: string): string =>
  join(cacheDir, `models--${repo.replace('/', '--')}`);

/**
 * One repository in the cache that all tools of the hub share:
 *
 *     models--owner--name/
 *       refs/main                    the commit of a branch or tag, as it was last seen
 *       blobs/<etag>                 content, once
 *       snapshots/<commit>/<path>    symbolic links to blobs: the files of a commit by name
 *
 * A file gets its final name only when it is complete, so every file with a final name is valid.
 */
export class RepositoryCache {
  readonly #dir: string;

  constructor(cacheDir: string, repo: string) {
    this.#dir = repositoryDir(cacheDir, repo);
  }

  get blobsDir(): string {
    return join(this.#dir, 'blobs');
  }

  snapshotDir(commit: string): string {
    return join(this.#dir, 'snapshots', commit);
  }

  blob(etag: string): string {
    return join(this.blobsDir, etag);
  }

  /**
   * The commit of a revision when the hub was last reached; null when it has never been asked for.
   */
  async commitOf({ revision }: HubId): Promise<string | null> {
    const text = await readFile(join(this.#dir, 'refs', revision), 'utf8').catch(() => '');
    if (/^[0-9a-f]{40}$/.test(text.trim())) return text.trim();
    return /^[0-9a-f]{40}$/.test(revision) ? revision : null;
  }

  /**
   * If the cache cannot be written, its old commit stays, and the next offline start uses that one.
   */
  async saveCommit(id: HubId, commit: string): Promise<void> {
    if ((await this.commitOf(id)) === commit) return;
    const file = join(this.#dir, 'refs', id.revision);
    const draft = `${file}.${randomUUID()}`;
    try {
      await mkdir(dirname(file), { recursive: true });
      await writeFile(draft, commit);
      await rename(draft, file);
    } catch (error) {
      if (!['EROFS', 'EACCES', 'EPERM'].includes(String((error as NodeJS.ErrnoException).code))) {
        throw error;
      }
    }
  }

  /** Whether a snapshot has a file, with its content. */
  async has(commit: string, path: string): Promise<boolean> {
    return isFile(join(this.snapshotDir(commit), path));
  }

  /** Links a blob into a snapshot under its file name. */
  async place(commit: string, path: string, etag: string): Promise<void> {
    const file = join(this.snapshotDir(commit), path);
    await mkdir(dirname(file), { recursive: true });
    // The link is created under a temporary name first: another process may do the same, and a
    // dangling link may be there.
    const draft = `${file}.${randomUUID()}`;
    await symlink(relative(dirname(file), this.blob(etag)), draft).catch(async (error: unknown) => {
      // On Windows, symbolic links need a privilege.
      if ((error as NodeJS.ErrnoException).code !== 'EPERM') throw error;
      await link(this.blob(etag), draft);
    });
    await rename(draft, file);
  }
}

export async function isFile(path: string): Promise<boolean> {
  const found = await stat(path).catch(() => null);
  return found?.isFile() === true;
}

/** Paths of a snapshot's files, and of its folders. */
export async function snapshotFiles(dir: string): Promise<Set<string>> {
  const paths = await readdir(dir, { recursive: true }).catch(() => []);
  return new Set(paths.map((path) => path.replaceAll(sep, '/')));
}
