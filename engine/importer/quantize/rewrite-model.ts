import { createHash } from 'node:crypto';
import { stat } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { Graph } from '../graph.js';
import { readModelProto } from '../model-file.js';
import { externalRange, isExternal } from '../tensor-data.js';
import { writeModel } from '../write-model.js';
import { type CachedModel, ModelCache, writeDurably } from './model-cache.js';
import { WeightsFile } from './weights-file.js';

const MODEL = 'model.onnx';
const WEIGHTS = 'weights.bin';

/** What tells one rewriting of a model from others. */
export interface RewriteName {
  /** Part of the entry's name. */
  readonly label: string;
  /** All that the result depends on besides the graph and its weights. */
  readonly salt: readonly unknown[];
}

/** A rewriting that the cache lacks. */
export interface Rewrite {
  /** Approximate size of the result. */
  readonly bytes: number;
  /** What it does, line by line. */
  readonly rewrites: readonly string[];
  /** Writes all weights that the graph needs, and makes the graph read them. */
  readonly convert: (weights: WeightsFile) => Promise<void>;
}

/**
 * Rewrites a graph and its weights on disk, or takes what an earlier start has left there.
 *
 * @param graph as in its file, or after passes that are deterministic; consumed
 * @param plan called when the cache has no such entry
 * @returns the rewritten graph, whose files are in the cache
 * @throws OctavoError `model_cache_unusable`
 */
export async function rewriteModel(
  graph: Graph,
  cacheDir: string,
  name: RewriteName,
  plan: () => Rewrite,
): Promise<Graph> {
  const cache = new ModelCache(cacheDir);
  const key = await cacheKey(graph, name);
  const cached = (await cache.find(key)) ?? (await addTo(cache, key, graph, plan()));
  const file = join(cached.directory, MODEL);
  const rewritten = new Graph(await readModelProto(file), file);
  rewritten.rewrites.push(...graph.rewrites, ...cached.rewrites);
  return rewritten;
}

function addTo(
  cache: ModelCache,
  key: string,
  graph: Graph,
  { bytes, rewrites, convert }: Rewrite,
): Promise<CachedModel> {
  return cache.add(key, bytes, async (directory) => {
    const weights = await WeightsFile.open(join(directory, WEIGHTS), WEIGHTS);
    try {
      await convert(weights);
      const files = [
        { name: WEIGHTS, sha256: await weights.finish() },
        { name: MODEL, sha256: await writeDurably(join(directory, MODEL), writeModel(graph)) },
      ];
      return { files, rewrites, source: resolve(graph.file) };
    } finally {
      await weights.close();
    }
  });
}

/** The name of the model's directory, of an entry's name. */
export function folderOf(key: string): string {
  return key.replace(/-[a-z0-9]+-[0-9a-f]{32}$/, '');
}

/**
 * The key: a hash of the graph after the earlier passes, and of size and modification time of each
 * file of weights, as build tools use them. Hashing gigabytes at every start would take longer than
 * loading them.
 */
async function cacheKey(graph: Graph, { label, salt }: RewriteName): Promise<string> {
  const hash = createHash('sha256').update(writeModel(graph));
  const external = [...graph.initializers.values()].filter(isExternal);
  const files = new Set(external.map((tensor) => externalRange(tensor, graph.file).file));
  for (const file of [...files].sort()) {
    const { size, mtimeMs } = await stat(file);
    hash.update(JSON.stringify([basename(file), size, mtimeMs]));
  }
  hash.update(JSON.stringify(salt));
  const folder = dirname(resolve(graph.file));
  const name = basename(basename(folder) === 'onnx' ? dirname(folder) : folder);
  return `${name.replaceAll(/[^\w.-]/g, '-')}-${label}-${hash.digest('hex').slice(0, 32)}`;
}
