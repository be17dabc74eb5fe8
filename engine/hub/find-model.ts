import { stat } from 'node:fs/promises';
import { basename, join, resolve } from 'node:path';
import { ggufIn, isGgufFile } from '../checkpoint/gguf-files.js';
import { ggufName } from '../checkpoint/gguf-names.js';
import { findSafetensors } from '../checkpoint/safetensors-files.js';
import { clip } from '../clip.js';
import { OctavoError } from '../errors.js';
import { foreignFormat } from '../importer/foreign-format.js';
import { type Dtype, listVariants, modelFiles } from '../importer/variants.js';
import { chooseWeights } from './choose-weights.js';
import type { FetchObserver } from './fetch-model.js';
import { hubNames, parseHubId } from './hub-id.js';
import { readHubSettings } from './hub-settings.js';
import { isFile } from './repository-cache.js';

/** What is wished of a model that may come in several files. */
export interface FileWish {
  /** Path of the file with the weights, in the directory or repository. */
  readonly file?: string | undefined;
  /** Number format of an ONNX file. */
  readonly dtype: Dtype | 'auto';
  /** See `FetchOptions`. */
  readonly needsTokenizer?: boolean;
}

/** A model's directory, or its GGUF file, and the names it is served under. */
export interface FoundModel {
  readonly dir: string;
  /** Of the directory's files the one that was wished for; absent: the engine chooses. */
  readonly file?: string;
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
  wish: FileWish,
  observer: FetchObserver,
): Promise<FoundModel> {
  const found = await stat(text).catch(() => null);
  if (isGgufFile(text)) {
    if (wish.file === undefined) return { dir: text, names: [ggufName(text)] };
    const problem = `${flag} names a file already; --file is for directories and repositories`;
    throw new OctavoError('usage', `--file ${clip(wish.file)}: ${problem}`, { param: '--file' });
  }
  if (found?.isDirectory()) return inDirectory(text, flag, wish);
  const foreign = found && (await foreignFormat(text));
  if (foreign) throw refused(flag, text, foreign);
  const id = found === null ? parseHubId(text) : null;
  if (id === null) {
    const allowed =
      'must be the directory of a model, a .gguf file, or a model of the hub: owner/name[@revision][:quantization]';
    throw new OctavoError('usage', `${flag} ${clip(text)}: ${allowed}`, { param: flag });
  }
  const settings = await readHubSettings(process.env);
  // Its HTTP client takes a twentieth of the start of a small model, and most starts need none.
  const { fetchModel } = await import('./fetch-model.js');
  const { dir, weights } = await fetchModel(id, { settings, ...wish, observer });
  const names = hubNames(id);
  if (weights.kind === 'gguf') return { dir: join(dir, weights.file), names };
  return { dir, names, ...(wish.file !== undefined && { file: weights.file }) };
}

/** @throws OctavoError `model_file_missing`, `model_unsupported` */
async function inDirectory(dir: string, flag: string, wish: FileWish): Promise<FoundModel> {
  const { file } = wish;
  const names = [basename(resolve(dir))] as const;
  if (file !== undefined) {
    const there = await modelFiles(dir);
    if (await isFile(join(dir, file))) there.add(file);
    const weights = chooseWeights(there, wish, dir);
    if (weights.kind === 'gguf') return { dir: join(dir, weights.file), names };
    return { dir, file: weights.file, names };
  }
  const hasOthers = (await listVariants(dir)).length > 0 || (await findSafetensors(dir)) !== null;
  const gguf = hasOthers ? null : ggufIn(dir);
  if (gguf !== null) return { dir: gguf, names };
  const foreign = await foreignFormat(dir);
  if (foreign) throw refused(flag, dir, foreign);
  return { dir, names };
}

const refused = (flag: string, text: string, reason: string): OctavoError =>
  new OctavoError('model_unsupported', `${flag} ${clip(text)}: ${reason}`);
