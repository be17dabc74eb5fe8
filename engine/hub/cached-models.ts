import { lstat, readdir, readFile, realpath, rm, stat } from 'node:fs/promises';
import { join, relative, sep } from 'node:path';
import { ggufModelsAmong } from '../checkpoint/gguf-names.js';
import { safetensorsAmong } from '../checkpoint/safetensors-files.js';
import { variantsAmong } from '../importer/variants.js';
import { filesOfWeights, onnxWeights, type Weights } from './choose-weights.js';
import { type HubId, hubName } from './hub-id.js';
import { isFile, repositoryDir, snapshotFiles } from './repository-cache.js';

/** Weights in the cache that the hub's tools share. */
export interface CachedWeights {
  readonly id: HubId;
  readonly weights: Weights;
  /** For people: `GGUF Q4_K_M`, `ONNX fp32`, `safetensors`. */
  readonly format: string;
  /** Directory of the commit. */
  readonly dir: string;
  /** Of the files of the weights that are there. */
  readonly bytes: number;
  /** Milliseconds. */
  readonly modified: number;
  /** False: a part is missing, as after a download that was broken off. */
  readonly isComplete: boolean;
}

/** All weights in the cache, by name. Repositories that have none are left out. */
export async function cachedModels(cacheDir: string): Promise<CachedWeights[]> {
  const found: CachedWeights[] = [];
  for (const name of (await readdir(cacheDir).catch((): string[] => [])).toSorted()) {
    const [, owner, model] = /^models--(.+?)--(.+)$/.exec(name) ?? [];
    if (owner === undefined) continue;
    found.push(...(await weightsOfRepository(cacheDir, `${owner}/${model}`)));
  }
  return found;
}

/** The same of one repository. */
export async function weightsOfRepository(
  cacheDir: string,
  repo: string,
): Promise<CachedWeights[]> {
  const root = repositoryDir(cacheDir, repo);
  const revisions = await revisionsOf(root);
  const found: CachedWeights[] = [];
  for (const commit of await readdir(join(root, 'snapshots')).catch(() => [])) {
    const dir = join(root, 'snapshots', commit);
    const files = await snapshotFiles(dir);
    for (const { weights, format, quantization } of formatsAmong(files)) {
      const id = { repo, revision: revisions.get(commit) ?? commit };
      found.push({
        id: quantization === '' ? id : { ...id, quantization },
        weights,
        format,
        dir,
        ...(await measure(dir, weights)),
      });
    }
  }
  return found.sort((a, b) => hubName(a.id).localeCompare(hubName(b.id)));
}

/** Revisions by the commits that they stood for; of several, `main`. */
async function revisionsOf(root: string): Promise<Map<string, string>> {
  const found = new Map<string, string>();
  const refs = join(root, 'refs');
  for (const name of await readdir(refs, { recursive: true }).catch(() => [])) {
    const commit = (await readFile(join(refs, name), 'utf8').catch(() => '')).trim();
    if (commit !== '' && found.get(commit) !== 'main') found.set(commit, name.replaceAll(sep, '/'));
  }
  return found;
}

interface Format {
  readonly weights: Weights;
  readonly format: string;
  /** Empty for other formats than GGUF, and where a name has none. */
  readonly quantization: string;
}

function formatsAmong(files: ReadonlySet<string>): Format[] {
  const tensors = safetensorsAmong(files);
  return [
    ...variantsAmong(files).map(({ dtype, path }) => ({
      weights: onnxWeights(files, path),
      format: `ONNX ${dtype}`,
      quantization: '',
    })),
    ...(tensors === null
      ? []
      : [
          {
            weights: { kind: 'safetensors' as const, file: tensors, parts: [] },
            format: 'safetensors',
            quantization: '',
          },
        ]),
    ...ggufModelsAmong(files).map(({ file, quantization }) => ({
      weights: { kind: 'gguf' as const, file, parts: [] },
      format: `GGUF ${quantization}`.trim(),
      quantization,
    })),
  ];
}

/** Files of weights as far as they are known; a damaged one names no others. */
async function filesIn(dir: string, weights: Weights): Promise<string[]> {
  const others = await filesOfWeights(dir, weights).catch(() => []);
  return [weights.file, ...weights.parts, ...others];
}

async function measure(
  dir: string,
  weights: Weights,
): Promise<Pick<CachedWeights, 'bytes' | 'modified' | 'isComplete'>> {
  const paths = (await filesIn(dir, weights)).map((file) => join(dir, file));
  const found = await Promise.all(paths.map((path) => stat(path).catch(() => null)));
  return {
    bytes: found.reduce((sum, file) => sum + (file?.size ?? 0), 0),
    modified: found.reduce((latest, file) => Math.max(latest, file?.mtimeMs ?? 0), 0),
    isComplete: found.every((file) => file !== null),
  };
}

/** What is removed of a repository, and how much that frees. */
export interface Removal {
  /** Paths, the largest unit each: a directory, or a file. */
  readonly paths: readonly string[];
  readonly bytes: number;
}

/**
 * What belongs to these weights alone: their links, and contents that no other snapshot of the
 * repository has. Of all that a repository has, `paths` is its directory. Nothing outside of that
 * is ever named, whatever links lead to.
 *
 * @param chosen some of `weightsOfRepository`; null: the whole repository
 */
export async function removalOf(
  cacheDir: string,
  repo: string,
  chosen: readonly CachedWeights[] | null,
): Promise<Removal> {
  const root = repositoryDir(cacheDir, repo);
  if (chosen === null) return { paths: [root], bytes: await bytesBelow(root) };
  const links = new Set<string>();
  for (const { dir, weights } of chosen) {
    for (const file of await filesIn(dir, weights)) {
      const path = join(dir, file);
      if (await isFile(path)) links.add(path);
    }
  }
  const kept = new Set<string>();
  for (const path of await filesBelow(join(root, 'snapshots'))) {
    if (!links.has(path)) kept.add(await realpath(path).catch(() => path));
  }
  const paths = [...links];
  for (const link of links) {
    const blob = await realpath(link);
    const isOurs = !relative(await realpath(root), blob).startsWith('..');
    if (isOurs && !kept.has(blob) && !paths.includes(blob)) paths.push(blob);
  }
  const sizes = await Promise.all(paths.map(sizeOf));
  return { paths, bytes: sizes.reduce((sum, size) => sum + size, 0) };
}

/** Removes what `removalOf` has found. */
export async function remove({ paths }: Removal): Promise<void> {
  for (const path of paths) await rm(path, { recursive: true, force: true });
}

export async function bytesBelow(dir: string): Promise<number> {
  const sizes = await Promise.all((await filesBelow(dir)).map(sizeOf));
  return sizes.reduce((sum, size) => sum + size, 0);
}

async function filesBelow(dir: string): Promise<string[]> {
  const entries = await readdir(dir, { recursive: true }).catch(() => []);
  return entries.map((name) => join(dir, name));
}

/** Bytes of a file itself: a link has none, nor has a directory. */
async function sizeOf(path: string): Promise<number> {
  const found = await lstat(path).catch(() => null);
  return found?.isFile() === true ? found.size : 0;
}
