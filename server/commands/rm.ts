import { createInterface } from 'node:readline/promises';
import { clip } from '../../engine/clip.js';
import { OctavoError } from '../../engine/errors.js';
import {
  bytesBelow,
  type CachedWeights,
  type Removal,
  removalOf,
  remove,
} from '../../engine/hub/cached-models.js';
import { type HubId, parseHubId } from '../../engine/hub/hub-id.js';
import { repositoryDir } from '../../engine/hub/repository-cache.js';
import {
  type RewrittenModel,
  removeRewritten,
} from '../../engine/importer/quantize/rewritten-models.js';
import type { Settings } from '../config/settings.js';
import { shortSize } from '../pool/short-size.js';
import { type LocalModels, localModels } from './list.js';

/** What goes with a name. */
interface Choice {
  /** Null: nothing in the hub's cache. */
  readonly removal: Removal | null;
  readonly rewritten: readonly RewrittenModel[];
}

/**
 * `octavo rm`: removes a model of the hub's cache, one quantization or format of it, or a rewritten
 * one, and says what that freed.
 *
 * @returns the exit code: 1 when the user has said no
 * @throws OctavoError `usage` for a name that is not there, and without `--yes` where there is no
 *   terminal
 */
export async function removeModel(
  name: string,
  isSure: boolean,
  settings: Settings,
): Promise<number> {
  const models = await localModels(settings);
  const { removal, rewritten } = await choose(name, models, settings);
  const bytes = rewritten.reduce((sum, entry) => sum + entry.bytes, removal?.bytes ?? 0);
  const others = rewritten.length === 0 || removal === null ? '' : ` and what was made of it`;
  if (!isSure && !(await confirm(`remove ${name}${others} (${shortSize(bytes)})?`))) return 1;
  if (removal !== null) await remove(removal);
  await removeRewritten(models.rewrittenDir, rewritten);
  process.stdout.write(`removed ${name}${others}: ${shortSize(bytes)} are free\n`);
  return 0;
}

/** @throws OctavoError `usage` */
async function choose(
  name: string,
  models: LocalModels,
  { file, dtype }: Settings,
): Promise<Choice> {
  const entry = models.rewritten.find((rewritten) => rewritten.name === name);
  if (entry) return { removal: null, rewritten: [entry] };
  const id = parseHubId(name);
  const all = id === null ? [] : models.cached.filter((cached) => cached.id.repo === id.repo);
  const isWhole = id?.quantization === undefined && file === undefined && dtype === 'auto';
  if (id === null || (all.length === 0 && !(isWhole && (await bytesOf(id, models)) > 0))) {
    throw absent(name);
  }
  const chosen = all.filter(
    (cached) =>
      (isRevision(name) ? isOf(cached, id) : true) &&
      (file === undefined || cached.weights.file === file) &&
      (id.quantization === undefined || sameQuantization(cached, id.quantization)) &&
      (dtype === 'auto' || cached.format === `ONNX ${dtype}`),
  );
  if (chosen.length === 0 && all.length > 0) throw absent(name);
  const wholly = isWhole && chosen.length === all.length;
  const removal = await removalOf(models.hubCacheDir, id.repo, wholly ? null : chosen);
  const gone = new Set(chosen.map(({ dir, weights }) => `${dir}/${weights.file}`));
  const rewritten = models.rewritten.filter(({ source }) => source !== null && gone.has(source));
  return { removal, rewritten };
}

const bytesOf = ({ repo }: HubId, { hubCacheDir }: LocalModels): Promise<number> =>
  bytesBelow(repositoryDir(hubCacheDir, repo));

const isRevision = (name: string): boolean => name.includes('@');

const isOf = ({ id, dir }: CachedWeights, { revision }: HubId): boolean =>
  id.revision === revision || dir.endsWith(`/${revision}`);

function sameQuantization({ id, weights }: CachedWeights, wanted: string): boolean {
  return id.quantization === wanted.toUpperCase() || weights.file.split('/').at(-1) === wanted;
}

function absent(name: string): OctavoError {
  const allowed =
    'must be the name of a model that octavo list shows; files outside of the caches are never removed';
  return new OctavoError('usage', `model ${clip(name)}: ${allowed}`, { param: 'model' });
}

/** @throws OctavoError `usage` where there is no terminal */
async function confirm(question: string): Promise<boolean> {
  if (!process.stdin.isTTY) {
    throw new OctavoError('usage', `${question} there is no terminal to ask on: --yes says so`);
  }
  const terminal = createInterface({ input: process.stdin, output: process.stderr });
  try {
    return /^y(es)?$/i.test((await terminal.question(`${question} [y/N] `)).trim());
  } finally {
    terminal.close();
  }
}
