import { readdir, readFile, rm, stat } from 'node:fs/promises';
import { join, resolve, sep } from 'node:path';
import { Type } from 'typebox';
import { Check } from 'typebox/value';

/** An entry of the model cache (`ModelCache`). */
export interface RewrittenModel {
  /** Of its directory. */
  readonly name: string;
  /** Path of the model's file; null when an older version has written the entry. */
  readonly source: string | null;
  readonly rewrites: readonly string[];
  readonly bytes: number;
  /** Milliseconds. */
  readonly modified: number;
}

const ManifestSchema = Type.Object({
  key: Type.String(),
  source: Type.Optional(Type.String()),
  files: Type.Array(Type.Object({ size: Type.Number() })),
  rewrites: Type.Array(Type.String()),
});

/** All complete entries of a model cache, by name. */
export async function rewrittenModels(cacheDir: string): Promise<RewrittenModel[]> {
  const found: RewrittenModel[] = [];
  for (const name of (await readdir(cacheDir).catch((): string[] => [])).toSorted()) {
    const manifest = await manifestOf(join(cacheDir, name));
    if (manifest?.key !== name) continue;
    found.push({
      name,
      source: manifest.source ?? null,
      rewrites: manifest.rewrites,
      bytes: manifest.files.reduce((sum, { size }) => sum + size, 0),
      modified: manifest.modified,
    });
  }
  return found.map((entry) => Object.assign(entry, { source: origin(entry, found, cacheDir) }));
}

async function manifestOf(directory: string) {
  const file = join(directory, 'manifest.json');
  try {
    const manifest: unknown = JSON.parse(await readFile(file, 'utf8'));
    if (!Check(ManifestSchema, manifest)) return null;
    return { ...manifest, modified: (await stat(file)).mtimeMs };
  } catch {
    // Other things in the directory, and entries in the making.
    return null;
  }
}

/** The first file of a chain of rewritings. */
function origin(
  { source }: RewrittenModel,
  entries: readonly RewrittenModel[],
  cacheDir: string,
): string | null {
  const above = (file: string): RewrittenModel | undefined =>
    entries.find(({ name }) => file.startsWith(join(resolve(cacheDir), name, sep)));
  let file = source;
  // An entry is made of an older one, so that a chain ends.
  for (let steps = 0; file !== null && steps < entries.length; steps++) {
    const entry = above(file);
    if (!entry) return file;
    file = entry.source;
  }
  return file;
}

/** Removes entries. */
export async function removeRewritten(
  cacheDir: string,
  entries: readonly RewrittenModel[],
): Promise<void> {
  for (const { name } of entries) await rm(join(cacheDir, name), { recursive: true, force: true });
}
