import { readdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { readConfig } from '../architectures/config.js';
import { describe } from '../architectures/describe-model.js';
import { clip } from '../clip.js';
import { OctavoError } from '../errors.js';
import type { Dtype } from '../importer/variants.js';
import { chooseWeights, filesOfWeights, weightsAmong } from './choose-weights.js';
import { downloadBlob } from './download-blob.js';
import { HubClient, type HubClientOptions, type RepositoryListing } from './hub-client.js';
import type { HubId } from './hub-id.js';
import type { HubSettings } from './hub-settings.js';
import { type Owner, THIS_PROCESS } from './partial-file.js';
import { RepositoryCache } from './repository-cache.js';

/** Files that a model needs besides its weights. */
const REQUIRED = ['tokenizer.json', 'tokenizer_config.json'];
/** One of these is needed: ONNX Runtime GenAI's model builder writes only the second. */
const CONFIGS = ['config.json', 'genai_config.json'];
const WANTED = new Set([
  ...REQUIRED,
  ...CONFIGS,
  'generation_config.json',
  'special_tokens_map.json',
  'added_tokens.json',
  'chat_template.jinja',
  'chat_template.json',
  // How images become pixels.
  'preprocessor_config.json',
  'processor_config.json',
]);

/** Receives the progress of a download. */
export interface FetchObserver {
  /** One line for the user. */
  log(line: string): void;
  /** Bytes of a file so far, and in total. */
  progress(file: string, done: number, total: number): void;
}

export interface FetchOptions extends HubClientOptions {
  readonly settings: HubSettings;
  readonly dtype: Dtype | 'auto';
  readonly observer: FetchObserver;
  readonly owner?: Owner;
}

/**
 * Returns the directory of a hub's model with the files that serving it needs: configuration,
 * tokenizer, and the weights (`chooseWeights`). Files in the cache are not downloaded again; if all
 * are there, the hub need not be reachable.
 *
 * @throws OctavoError `hub_*`, `model_file_missing`, `model_file_corrupt`
 */
export async function fetchModel(id: HubId, options: FetchOptions): Promise<string> {
  const { settings, observer, dtype } = options;
  const cache = new RepositoryCache(settings.cacheDir, id.repo);
  if (settings.offline) {
    return cachedModel(cache, id, dtype, 'HF_HUB_OFFLINE is set');
  }
  const client = new HubClient(settings, id, options);
  try {
    const cached = await cachedModel(cache, id, dtype, '').catch(() => null);
    // With the model in the cache, the start should not wait long for a missing network.
    const listing = await client.list(cached === null ? undefined : 1).catch((error: unknown) => {
      if (error instanceof OctavoError && error.kind === 'hub_unreachable') return error;
      throw error;
    });
    if (listing instanceof OctavoError) {
      const dir = cached ?? (await cachedModel(cache, id, dtype, listing.message));
      observer.log(`octavo: ${listing.message}; using ${id.repo} as it is in the cache`);
      return dir;
    }
    const weights = chooseWeights(listing.files, dtype, id);
    const fetch = new Fetch(client, cache, listing, options);
    const isTemplate = (file: string): boolean =>
      /^additional_chat_templates\/[^/]+\.jinja$/.test(file);
    for (const file of listing.files) {
      if (WANTED.has(file) || isTemplate(file)) await fetch.file(file);
    }
    const dir = cache.snapshotDir(listing.commit);
    // A model whose graph cannot be built is refused before gigabytes are downloaded.
    if (weights.kind === 'safetensors') describe(await readConfig(dir));
    for (const file of [weights.file, ...weights.parts]) await fetch.file(file);
    for (const file of await filesOfWeights(dir, weights)) {
      if (!listing.files.has(file)) {
        const what = `${id.repo}: ${weights.file} has its weights in ${clip(file)}, which is not in the repository`;
        throw new OctavoError('model_file_missing', what);
      }
      await fetch.file(file);
    }
    await cache.saveCommit(id, listing.commit);
    return dir;
  } finally {
    await client.close();
  }
}

/**
 * Downloads the files of one commit, one after the other: one file alone uses the whole bandwidth.
 */
class Fetch {
  readonly #client: HubClient;
  readonly #cache: RepositoryCache;
  readonly #commit: string;
  readonly #options: FetchOptions;

  constructor(
    client: HubClient,
    cache: RepositoryCache,
    { commit }: RepositoryListing,
    options: FetchOptions,
  ) {
    this.#client = client;
    this.#cache = cache;
    this.#commit = commit;
    this.#options = options;
  }

  async file(path: string): Promise<void> {
    if (await this.#cache.has(this.#commit, path)) return;
    const file = await this.#client.describe(this.#commit, path);
    const { owner = THIS_PROCESS, observer } = this.#options;
    const blob = this.#cache.blob(file.etag);
    await downloadBlob(this.#client, file, blob, owner, {
      progress: (done, total) => observer.progress(path, done, total),
      waiting: () => observer.log(`octavo: another process downloads ${path}; waiting for it`),
    });
    await this.#cache.place(this.#commit, path, file.etag);
  }
}

/**
 * @throws OctavoError `hub_unreachable`: names the file that is not in the cache, and why it cannot
 *   be fetched
 */
async function cachedModel(
  cache: RepositoryCache,
  id: HubId,
  dtype: Dtype | 'auto',
  why: string,
): Promise<string> {
  const name = `${id.repo}@${id.revision}`;
  const commit = await cache.commitOf(id);
  const dir = commit === null ? null : cache.snapshotDir(commit);
  const files = dir === null ? new Set<string>() : await filesOf(dir);
  if (commit === null || dir === null || files.size === 0) {
    const what = `${why}, and ${name} is not in the cache (${dirname(cache.blobsDir)})`;
    throw new OctavoError('hub_unreachable', what);
  }
  const weights = weightsAmong(files, dtype);
  const missing: string[] = [];
  for (const file of REQUIRED) if (!(await cache.has(commit, file))) missing.push(file);
  const configs = await Promise.all(CONFIGS.map((file) => cache.has(commit, file)));
  if (!configs.includes(true)) missing.push(CONFIGS.join(' or '));
  if (weights === null) {
    missing.push(
      dtype === 'auto' ? 'an ONNX model or safetensors' : `an ONNX model of --dtype ${dtype}`,
    );
  } else {
    const parts: string[] = [];
    for (const file of weights.parts) if (!(await cache.has(commit, file))) parts.push(file);
    missing.push(...parts);
    const others = parts.length > 0 ? [] : await filesOfWeights(dir, weights);
    for (const file of others) {
      if (!(await cache.has(commit, file))) missing.push(file);
    }
  }
  if (missing.length === 0) return dir;
  const what = `${why}, and of ${name} the cache lacks ${missing.join(', ')} (${dir})`;
  throw new OctavoError('hub_unreachable', what);
}

/** Paths inside a snapshot, to the depth that models use. */
async function filesOf(dir: string): Promise<Set<string>> {
  const files = new Set<string>();
  for (const folder of ['', 'onnx/']) {
    for (const name of await readdir(join(dir, folder)).catch(() => [])) files.add(folder + name);
  }
  return files;
}
