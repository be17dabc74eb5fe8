import { stat } from 'node:fs/promises';
import { basename, resolve } from 'node:path';
import { clip } from '../../engine/clip.js';
import { OctavoError } from '../../engine/errors.js';
import { fetchModel } from '../../engine/hub/fetch-model.js';
import { parseHubId } from '../../engine/hub/hub-id.js';
import { readHubSettings } from '../../engine/hub/hub-settings.js';
import { foreignFormat } from '../../engine/importer/foreign-format.js';
import type { Dtype } from '../../engine/importer/variants.js';
import { progressBar } from './progress-bar.js';

/** Where a model is, and what it is called by those who named it. */
export interface FoundModel {
  readonly dir: string;
  /** The directory's own name; of a hub's model `owner/name`, and `name` too. */
  readonly names: readonly [string, ...string[]];
}

/**
 * Finds what `--model` names: a directory, or else a model of the hub, which is downloaded.
 *
 * @param flag how it was given, for the message
 * @throws OctavoError `usage` for what can be neither, `model_unsupported` for models in other formats; what `fetchModel` throws
 */
export async function findModel(
  text: string,
  flag: string,
  dtype: Dtype | 'auto',
  log: (line: string) => void,
): Promise<FoundModel> {
  const found = await stat(text).catch(() => null);
  const foreign = found && (await foreignFormat(text));
  if (foreign) throw new OctavoError('model_unsupported', `${flag} ${clip(text)}: ${foreign}`);
  if (found?.isDirectory()) return { dir: text, names: [basename(resolve(text))] };
  const id = found === null ? parseHubId(text) : null;
  if (id === null) {
    const allowed =
      'must be the directory of a model, or a model of the hub: owner/name[@revision]';
    throw new OctavoError('usage', `${flag} ${clip(text)}: ${allowed}`, { param: flag });
  }
  const show = progressBar(process.stderr, log);
  const observer = {
    log,
    progress: (file: string, done: number, total: number) =>
      show(`downloading ${file}`, done, total),
  };
  const settings = await readHubSettings(process.env);
  const dir = await fetchModel(id, { settings, dtype, observer });
  return { dir, names: [id.repo, id.repo.slice(id.repo.indexOf('/') + 1)] };
}
