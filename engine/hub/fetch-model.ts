import { dirname } from 'node:path';
import { readConfig } from '../architectures/config.js';
import { describe } from '../architectures/describe-model.js';
import { clip } from '../clip.js';
import { OctavoError } from '../errors.js';
import type { Dtype } from '../importer/variants.js';
import {
  chooseWeights,
  filesOfWeights,
  type Weights,
  type WeightsWish,
  weightsAmong,
} from './choose-weights.js';
import { downloadBlob } from './download-blob.js';
import { HubClient, type HubClientOptions, type RepositoryListing } from './hub-client.js';
import { type HubId, hubName } from './hub-id.js';
import type { HubSettings } from './hub-settings.js';
import { type Owner, THIS_PROCESS } from './partial-file.js';
import { RepositoryCache, snapshotFiles } from './repository-cache.js';

/** Files that a model needs besides its weights; a GGUF file has all of that in itself. */
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
  // How sentence-transformers makes vectors of rows, and what it puts before texts.
  'modules.json',
  'sentence_bert_config.json',
  'config_sentence_transformers.json',
]);

/** Chat templates, and sentence-transformers' modules with their small weights (`2_Dense`). */
const WANTED_IN_FOLDERS =
  /^(additional_chat_templates\/[^/]+\.jinja|\d+_[A-Za-z]+\/(config\.json|model\.safetensors))$/;

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
  /** Path of the file with the weights; absent: a rule chooses (`weightsAmong`). */
  readonly file?: string | undefined;
  /** Whether it has a text of its own to read; default true. */
  readonly needsTokenizer?: boolean;
  readonly observer: FetchObserver;
  readonly owner?: Owner;
}

export interface FetchedModel {
  /** Directory of the commit in the cache. */
  readonly dir: string;
  readonly weights: Weights;
}

/**
 * Downloads what serving a hub's model needs: its weights (`chooseWeights`) and, unless these are
 * GGUF, configuration and tokenizer. Files in the cache are not downloaded again; if all are there,
 * the hub need not be reachable.
 *
 * @throws OctavoError `hub_*`, `model_file_missing`, `model_file_corrupt`
 */
export async function fetchModel(id: HubId, options: FetchOptions): Promise<FetchedModel> {
  const { settings, observer } = options;
  const cache = new RepositoryCache(settings.cacheDir, id.repo);
  if (settings.offline) return cachedModel(cache, id, options, 'HF_HUB_OFFLINE is set');
  const client = new HubClient(settings, id, options);
  try {
    const cached = await cachedModel(cache, id, options, '').catch(() => null);
    // With the model in the cache, the start should not wait long for a missing network.
    const listing = await client.list(cached === null ? undefined : 1).catch((error: unknown) => {
      if (error instanceof OctavoError && error.kind === 'hub_unreachable') return error;
      throw error;
    });
    if (listing instanceof OctavoError) {
      const found = cached ?? (await cachedModel(cache, id, options, listing.message));
      observer.log(`octavo: ${listing.message}; using ${id.repo} as it is in the cache`);
      return found;
    }
    const weights = chooseWeights(listing.files, wishOf(id, options), id.repo);
    const fetch = new Fetch(client, cache, listing, options);
    const dir = cache.snapshotDir(listing.commit);
    if (weights.kind !== 'gguf') await fetch.texts();
    // A model whose graph cannot be built is refused before gigabytes are downloaded.
    if (weights.kind === 'safetensors') describe(await readConfig(dir));
    for (const file of [weights.file, ...weights.parts]) await fetch.file(file);
    const others = await filesOfWeights(dir, weights);
    for (const file of others) {
      if (listing.files.has(file)) continue;
      const what = `${id.repo}: ${weights.file} has its weights in ${clip(file)}, which is not in the repository`;
      throw new OctavoError('model_file_missing', what);
    }
    for (const file of others) await fetch.file(file);
    await cache.saveCommit(id, listing.commit);
    return { dir, weights };
  } finally {
    await client.close();
  }
}

const wishOf = ({ quantization }: HubId, { file, dtype }: FetchOptions): WeightsWish => ({
  file,
  quantization,
  dtype,
});

/**
 * Downloads the files of one commit, one after the other: one file alone uses the whole bandwidth.
 */
class Fetch {
  readonly #client: HubClient;
  readonly #cache: RepositoryCache;
  readonly #listing: RepositoryListing;
  readonly #options: FetchOptions;

  constructor(
    client: HubClient,
    cache: RepositoryCache,
    listing: RepositoryListing,
    options: FetchOptions,
  ) {
    this.#client = client;
    this.#cache = cache;
    this.#listing = listing;
    this.#options = options;
  }

  /** Configuration, tokenizer and chat templates: all that is there. */
  async texts(): Promise<void> {
    for (const file of this.#listing.files) {
      if (WANTED.has(file) || WANTED_IN_FOLDERS.test(file)) await this.file(file);
    }
  }

  async file(path: string): Promise<void> {
    const { commit } = this.#listing;
    if (await this.#cache.has(commit, path)) return;
    const file = await this.#client.describe(commit, path);
    const { owner = THIS_PROCESS, observer } = this.#options;
    const blob = this.#cache.blob(file.etag);
    await downloadBlob(this.#client, file, blob, owner, {
      progress: (done, total) => observer.progress(path, done, total),
      waiting: () => observer.log(`octavo: another process downloads ${path}; waiting for it`),
    });
    await this.#cache.place(commit, path, file.etag);
  }
}

/**
 * @throws OctavoError `hub_unreachable`: names the file that is not in the cache, and why it cannot
 *   be fetched
 */
async function cachedModel(
  cache: RepositoryCache,
  id: HubId,
  options: FetchOptions,
  why: string,
): Promise<FetchedModel> {
  const commit = await cache.commitOf(id);
  const dir = commit === null ? null : cache.snapshotDir(commit);
  const files = dir === null ? new Set<string>() : await snapshotFiles(dir);
  if (commit === null || dir === null || files.size === 0) {
    const what = `${why}, and ${id.repo}@${id.revision} is not in the cache (${dirname(cache.blobsDir)})`;
    throw new OctavoError('hub_unreachable', what);
  }
  const lacks = async (paths: readonly string[]): Promise<string[]> => {
    const found = await Promise.all(paths.map((path) => cache.has(commit, path)));
    return paths.filter((_, i) => !found[i]);
  };
  const weights = weightsAmong(files, wishOf(id, options));
  const missing: string[] = [];
  const { file = '' } = options;
  const isGguf = weights?.kind === 'gguf' || id.quantization !== undefined || /\.gguf$/i.test(file);
  if (!isGguf) {
    if (options.needsTokenizer ?? true) missing.push(...(await lacks(REQUIRED)));
    if ((await lacks(CONFIGS)).length === CONFIGS.length) missing.push(CONFIGS.join(' or '));
  }
  if (weights === null) missing.push(wished(id, options));
  else {
    const parts = await lacks([weights.file, ...weights.parts]);
    const others = parts.length > 0 ? [] : await filesOfWeights(dir, weights);
    missing.push(...parts, ...(await lacks(others)));
  }
  if (missing.length === 0 && weights !== null) return { dir, weights };
  const what = `${why}, and of ${hubName(id)} the cache lacks ${missing.join(', ')} (${dir})`;
  throw new OctavoError('hub_unreachable', what);
}

/** The weights that are missing, in words. */
function wished({ quantization }: HubId, { file, dtype }: FetchOptions): string {
  if (file !== undefined) return file;
  if (quantization !== undefined) return `a GGUF file of :${quantization}`;
  return dtype === 'auto'
    ? 'an ONNX model, safetensors or a GGUF file'
    : `an ONNX model of --dtype ${dtype}`;
}
