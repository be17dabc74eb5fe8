import { join, posix } from 'node:path';
import { readIndex, SAFETENSORS_INDEX, safetensorsAmong } from '../checkpoint/safetensors-files.js';
import { OctavoError } from '../errors.js';
import { externalFiles } from '../importer/external-files.js';
import { partsAmong } from '../importer/parts/find-parts.js';
import { type Dtype, variantsAmong } from '../importer/variants.js';
import type { HubId } from './hub-id.js';

/** The file of a repository by which a model's weights are found. */
export interface Weights {
  readonly kind: 'onnx' | 'safetensors';
  /** Path in the repository. */
  readonly file: string;
  /** Other parts of a model of text and images, in files of their own. */
  readonly parts: readonly string[];
}

/**
 * Chooses among a repository's files: an ONNX file of the number format that was asked for, or
 * else, where no format was asked for and no ONNX decoder is there, safetensors.
 *
 * @returns null when there is neither
 */
export function weightsAmong(files: ReadonlySet<string>, dtype: Dtype | 'auto'): Weights | null {
  const variants = variantsAmong(files);
  const onnx = variants.find((variant) => dtype === 'auto' || variant.dtype === dtype);
  if (onnx) return { kind: 'onnx', file: onnx.path, parts: partsOf(files, onnx.path) };
  if (variants.length > 0 || dtype !== 'auto') return null;
  const file = safetensorsAmong(files);
  return file === null ? null : { kind: 'safetensors', file, parts: [] };
}

/** Without an embedding of its own, a decoder is a whole model. */
function partsOf(files: ReadonlySet<string>, decoder: string): string[] {
  const { embedding, vision } = partsAmong(files, decoder);
  if (embedding === null) return [];
  return vision === null ? [embedding] : [embedding, vision];
}

/** @throws OctavoError `model_file_missing`: names what is in the repository, and what is needed */
export function chooseWeights(
  files: ReadonlySet<string>,
  dtype: Dtype | 'auto',
  id: HubId,
): Weights {
  const chosen = weightsAmong(files, dtype);
  if (chosen) return chosen;
  const variants = variantsAmong(files);
  const onnx = [...files].filter((file) => file.endsWith('.onnx'));
  const tensors = safetensorsAmong(files);
  let what: string;
  if (variants.length > 0) {
    what = `no ONNX model of --dtype ${dtype}; there are: ${variants.map((v) => `${v.dtype} (${v.path})`).join(', ')}`;
  } else if (tensors !== null) {
    what = `no ONNX model of --dtype ${dtype}; there is ${tensors}, which is served without --dtype`;
  } else if (onnx.length > 0) {
    what = `no ONNX decoder under a usual name (onnx/model.onnx), and no model.safetensors; there are: ${shorten(onnx)}`;
  } else {
    what = `neither an ONNX model nor model.safetensors; there are: ${shorten([...files])}. Look for one that has them, or for an ONNX export under onnx-community`;
  }
  throw new OctavoError('model_file_missing', `${id.repo}: ${what}`);
}

/**
 * What the files of the weights refer to: paths in the repository.
 *
 * @param dir where `file` and `parts` have been downloaded
 * @throws OctavoError `model_file_corrupt` for a name that leaves the model's directory
 */
export async function filesOfWeights(
  dir: string,
  { kind, file, parts }: Weights,
): Promise<string[]> {
  if (kind === 'onnx') return [file, ...parts].flatMap((onnx) => dataFiles(dir, onnx));
  if (file !== SAFETENSORS_INDEX) return [];
  return [...new Set((await readIndex(join(dir, file))).values())].sort();
}

/** Paths of a model's external data. */
function dataFiles(dir: string, onnx: string): string[] {
  const file = join(dir, onnx);
  return externalFiles(file).map((name) => {
    const path = posix.join(posix.dirname(onnx), name);
    const outside = posix.relative(posix.dirname(onnx), path).startsWith('..');
    if (!outside && !posix.isAbsolute(name) && !name.includes('\\')) return path;
    const what = `${file}: its external data ${JSON.stringify(name)} lies outside the model's directory`;
    throw new OctavoError('model_file_corrupt', what);
  });
}

function shorten(names: readonly string[]): string {
  const shown = names.slice(0, 12).join(', ');
  return names.length > 12 ? `${shown} and ${names.length - 12} more` : shown;
}
