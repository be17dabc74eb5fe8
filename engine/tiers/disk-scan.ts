import { readdir, stat, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import type { BlockKey } from './block-tier.js';
import { keyOfFile } from './file-name.js';

export interface FoundFile {
  readonly path: string;
  readonly bytes: number;
  /** When it was last used, milliseconds since 1970. */
  readonly usedAt: number;
}

export interface OwnFile extends FoundFile {
  readonly key: BlockKey;
}

/** A file that is older than this was left behind by a process that has died while writing it. */
const ABANDONED_MS = 600_000;

/**
 * What is in a directory of contents, the last used first. Of other names than the tier gives,
 * nothing is touched.
 *
 * @param namespace of the files that are `own`; all others are `foreign`
 * @param fileBytes own files of another size are removed: they are truncated
 */
export async function scanDirectory(
  directory: string,
  namespace: string,
  fileBytes: number,
): Promise<{ readonly own: OwnFile[]; readonly foreign: FoundFile[] }> {
  const own: OwnFile[] = [];
  const foreign: FoundFile[] = [];
  for (const name of await namesIn(directory)) {
    if (!/^[0-9a-f]{32}$/.test(name)) continue;
    for await (const file of contentsOf(join(directory, name))) {
      const key = keyOfFile(file.name);
      if (name !== namespace) foreign.push(file);
      else if (file.bytes === fileBytes && key !== null) own.push({ ...file, key });
      else await unlink(file.path).catch(() => undefined);
    }
  }
  const lastUsed = (a: FoundFile, b: FoundFile): number => b.usedAt - a.usedAt;
  return { own: own.sort(lastUsed), foreign: foreign.sort(lastUsed) };
}

/** The files of one namespace. */
async function* contentsOf(root: string): AsyncGenerator<FoundFile & { readonly name: string }> {
  for (const part of await namesIn(root)) {
    const path = join(root, part);
    if (part.endsWith('.part')) {
      const found = await fileAt(path);
      const isAbandoned = found !== null && Date.now() - found.usedAt > ABANDONED_MS;
      if (isAbandoned) await unlink(path).catch(() => undefined);
      continue;
    }
    if (!/^[0-9a-f]{2}$/.test(part)) continue;
    const names = (await namesIn(path)).filter((name) => keyOfFile(name) !== null);
    const files = await Promise.all(names.map((name) => fileAt(join(path, name))));
    for (const [i, file] of files.entries()) if (file) yield { ...file, name: names[i] };
  }
}

async function namesIn(directory: string): Promise<string[]> {
  return readdir(directory).catch(() => []);
}

async function fileAt(path: string): Promise<FoundFile | null> {
  try {
    const { size, mtimeMs } = await stat(path);
    return { path, bytes: size, usedAt: mtimeMs };
  } catch {
    return null;
  }
}
