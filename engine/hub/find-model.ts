import { stat } from 'node:fs/promises';
import { basename, resolve } from 'node:path';
import { ggufIn, ggufName, isGgufFile } from '../checkpoint/gguf-files.js';
import { findSafetensors } from '../checkpoint/safetensors-files.js';
import { clip } from '../clip.js';
import { OctavoError } from '../errors.js';
import { foreignFormat } from '../importer/foreign-format.js';
import { type Dtype, listVariants } from '../importer/variants.js';
import { type FetchObserver, fetchModel } from './fetch-model.js';
import { parseHubId } from './hub-id.js';
import { readHubSettings } from './hub-settings.js';

/** A model's directory, or its GGUF file, and the names it is served under. */
export interface FoundModel {
  readonly dir: string;
  /** The directory's name; for a model of the hub, `owner/name` and `name`. */
  readonly names: readonly [string, ...string[]];
}

/**
 * Finds what `--model` names: a directory, a GGUF file, or else a model of the hub, which is
 * downloaded.
 *
 * @param flag the flag that named it, for messages
 * @throws OctavoError `usage` when the name can be neither, `model_unsupported` for models in other
 *   formats; also what `fetchModel` throws
 */
export async function findModel(
  text: string,
  flag: string,
  dtype: Dtype | 'auto',
  observer: FetchObserver,
): Promise<FoundModel> {
  const found = await stat(text).catch(() => null);
  if (isGgufFile(text)) return { dir: text, names: [ggufName(text)] };
  if (found?.isDirectory()) {
    const file = await ggufOf(text);
    if (file !== null) return { dir: file, names: [basename(resolve(text))] };
  }
  const foreign = found && (await foreignFormat(text));
  if (foreign) throw new OctavoError('model_unsupported', `${flag} ${clip(text)}: ${foreign}`);
  if (found?.isDirectory()) return { dir: text, names: [basename(resolve(text))] };
  const id = found === null ? parseHubId(text) : null;
  if (id === null) {
    const allowed =
      'must be the directory of a model, a .gguf file, or a model of the hub: owner/name[@revision]';
    throw new OctavoError('usage', `${flag} ${clip(text)}: ${allowed}`, { param: flag });
  }
  const settings = await readHubSettings(process.env);
  const dir = await fetchModel(id, { settings, dtype, observer });
  return { dir, names: [id.repo, id.repo.slice(id.repo.indexOf('/') + 1)] };
}

/** The GGUF file of a directory that has neither an ONNX model nor safetensors. */
async function ggufOf(dir: string): Promise<string | null> {
  if ((await listVariants(dir)).length > 0 || (await findSafetensors(dir)) !== null) return null;
  return ggufIn(dir);
}
