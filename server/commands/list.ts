import { basename } from 'node:path';
import { modelCacheDir } from '../../engine/environment/model-cache-dir.js';
import { type CachedWeights, cachedModels } from '../../engine/hub/cached-models.js';
import { hubName } from '../../engine/hub/hub-id.js';
import { readHubSettings } from '../../engine/hub/hub-settings.js';
import { folderOf } from '../../engine/importer/quantize/rewrite-model.js';
import {
  type RewrittenModel,
  rewrittenModels,
} from '../../engine/importer/quantize/rewritten-models.js';
import type { Settings } from '../config/settings.js';
import { shortSize } from '../pool/short-size.js';
import { columns } from './columns.js';

/** All models on this machine that have a name. */
export interface LocalModels {
  readonly cached: readonly CachedWeights[];
  readonly rewritten: readonly RewrittenModel[];
  readonly hubCacheDir: string;
  readonly rewrittenDir: string;
}

export async function localModels({ modelCacheDir: chosen }: Settings): Promise<LocalModels> {
  const { cacheDir: hubCacheDir } = await readHubSettings(process.env);
  const rewrittenDir = modelCacheDir(chosen, process.env);
  const [cached, rewritten] = await Promise.all([
    cachedModels(hubCacheDir),
    rewrittenModels(rewrittenDir),
  ]);
  return { cached, rewritten, hubCacheDir, rewrittenDir };
}

/** `octavo list`: what the hub's cache and the cache of rewritten models have. */
export async function list(settings: Settings): Promise<number> {
  const models = await localModels(settings);
  const { cached, rewritten, hubCacheDir, rewrittenDir } = models;
  if (cached.length === 0 && rewritten.length === 0) {
    process.stderr.write(`octavo: no models in ${hubCacheDir} and ${rewrittenDir}\n`);
    return 0;
  }
  const day = (ms: number): string => new Date(ms).toISOString().slice(0, 10);
  process.stdout.write(
    columns([
      ['NAME', 'FORMAT', 'SIZE', 'MODIFIED'],
      ...cached.map(({ id, format, bytes, modified, isComplete }) => [
        hubName(id),
        isComplete ? format : `${format}, incomplete`,
        shortSize(bytes),
        day(modified),
      ]),
      ...rewritten.map((entry) => [
        entry.name,
        `rewritten, of ${originOf(entry, models)}`,
        shortSize(entry.bytes),
        day(entry.modified),
      ]),
    ]),
  );
  return 0;
}

/**
 * The name of the model that was rewritten; its path, of one that is not of the hub. Of an entry of
 * an older version, the name of the model's directory is all that is known.
 */
function originOf({ name, source }: RewrittenModel, { cached }: LocalModels): string {
  if (source === null) {
    const folder = folderOf(name);
    const found = cached.find(({ dir }) => basename(dir) === folder);
    return found ? hubName(found.id) : folder;
  }
  const found = cached.find(({ dir, weights }) => source === `${dir}/${weights.file}`);
  return found ? hubName(found.id) : source;
}
