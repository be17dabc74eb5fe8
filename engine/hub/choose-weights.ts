import { join, posix } from 'node:path';
import { type GgufModel, ggufModelsAmong, ggufPart, oneModel } from '../checkpoint/gguf-names.js';
import { readIndex, SAFETENSORS_INDEX, safetensorsAmong } from '../checkpoint/safetensors-files.js';
import { clip } from '../clip.js';
import { OctavoError } from '../errors.js';
import { externalFiles } from '../importer/external-files.js';
import { partsAmong } from '../importer/parts/find-parts.js';
import { type Dtype, variantsAmong } from '../importer/variants.js';

/** The file of a repository by which a model's weights are found. */
export interface Weights {
  readonly kind: 'onnx' | 'safetensors' | 'gguf';
  /** Path in the repository. */
  readonly file: string;
  /** Other parts of a model of text and images, in files of their own. */
  readonly parts: readonly string[];
}

/** What the user says of the file; nothing: the rule decides. */
export interface WeightsWish {
  /** By its path. */
  readonly file?: string | undefined;
  /** A GGUF file, by its quantization. */
  readonly quantization?: string | undefined;
  /** An ONNX file, by its number format. */
  readonly dtype: Dtype | 'auto';
}

/**
 * Chooses among a repository's files: what is wished for; else the preferred ONNX file, else
 * safetensors, else the preferred GGUF file.
 *
 * @returns null when there is no such file, or the names do not decide
 */
export function weightsAmong(files: ReadonlySet<string>, wish: WeightsWish): Weights | null {
  const { file, quantization, dtype } = wish;
  if (file !== undefined) return files.has(file) ? byName(files, file) : null;
  if (quantization !== undefined) {
    const model = oneModel(quantizedAs(files, quantization));
    return model && { kind: 'gguf', file: model.file, parts: [] };
  }
  const variants = variantsAmong(files);
  const onnx = variants.find((variant) => dtype === 'auto' || variant.dtype === dtype);
  if (onnx) return onnxWeights(files, onnx.path);
  if (variants.length > 0 || dtype !== 'auto') return null;
  const tensors = safetensorsAmong(files);
  if (tensors !== null) return { kind: 'safetensors', file: tensors, parts: [] };
  const gguf = oneModel(ggufModelsAmong(files));
  return gguf && { kind: 'gguf', file: gguf.file, parts: [] };
}

/** A decoder with the other parts of its model; without an embedding of its own, it is whole. */
export function onnxWeights(files: ReadonlySet<string>, decoder: string): Weights {
  const { embedding, vision } = partsAmong(files, decoder);
  const parts = embedding === null ? [] : [embedding, ...(vision === null ? [] : [vision])];
  return { kind: 'onnx', file: decoder, parts };
}

/** Weights by the ending of their file's name; of several parts of a GGUF file, the first. */
function byName(files: ReadonlySet<string>, file: string): Weights | null {
  if (/\.onnx$/i.test(file)) return onnxWeights(files, file);
  if (/\.gguf$/i.test(file)) {
    return { kind: 'gguf', file: ggufPart(file)?.all[0] ?? file, parts: [] };
  }
  const isSafetensors = file === SAFETENSORS_INDEX || /^[^/]+\.safetensors$/.test(file);
  return isSafetensors ? { kind: 'safetensors', file, parts: [] } : null;
}

/** GGUF files of a quantization, or the one that a name is of. */
function quantizedAs(files: ReadonlySet<string>, quantization: string): GgufModel[] {
  const models = ggufModelsAmong(files);
  const named = models.find(({ file }) => posix.basename(file) === quantization);
  if (named) return [named];
  const wanted = quantization.toUpperCase();
  const exact = models.filter((model) => model.quantization === wanted);
  return exact.length > 0 ? exact : models.filter((m) => m.quantization === `UD-${wanted}`);
}

/** @throws OctavoError `model_file_missing`: names what is in the repository, and what is needed */
export function chooseWeights(
  files: ReadonlySet<string>,
  wish: WeightsWish,
  repo: string,
): Weights {
  const chosen = weightsAmong(files, wish);
  if (chosen) return chosen;
  throw new OctavoError('model_file_missing', `${repo}: ${problemOf(files, wish)}`);
}

function problemOf(files: ReadonlySet<string>, wish: WeightsWish): string {
  const { file, quantization, dtype } = wish;
  const there = `there are: ${contentsOf(files)}`;
  if (file !== undefined) {
    return `no weights in --file ${clip(file)}, which takes an .onnx, .safetensors or .gguf file by its path; ${there}`;
  }
  if (quantization !== undefined) {
    return quantizedAs(files, quantization).length > 1
      ? `several GGUF files of :${clip(quantization)}; name one by --file; ${there}`
      : `no GGUF file of :${clip(quantization)}; ${there}`;
  }
  if (dtype !== 'auto') {
    const without = weightsAmong(files, { dtype: 'auto' });
    const other = without === null ? '' : `; without --dtype, ${without.file} is taken`;
    return `no ONNX model of --dtype ${dtype}; ${there}${other}`;
  }
  if (ggufModelsAmong(files).length > 0) {
    return `several GGUF models; name one by --file; ${there}`;
  }
  const onnx = [...files].filter((name) => name.endsWith('.onnx'));
  return onnx.length > 0
    ? `no ONNX decoder under a usual name (onnx/model.onnx), no model.safetensors and no GGUF file; ${there}; --file names one`
    : `neither an ONNX model nor model.safetensors nor a GGUF file; ${there}. Look for one that has them, or for an ONNX export under onnx-community`;
}

/** The weights of a repository, one way after the other; other files where it has none. */
function contentsOf(files: ReadonlySet<string>): string {
  const tensors = safetensorsAmong(files);
  const usual = variantsAmong(files).map(({ dtype, path }) => `${dtype} (${path})`);
  const weights = [
    ...(usual.length > 0 ? usual : [...files].filter((name) => name.endsWith('.onnx'))),
    ...(tensors === null ? [] : [tensors]),
    ...ggufModelsAmong(files).map(({ file, quantization }) =>
      quantization === '' ? file : `${quantization} (${file})`,
    ),
  ];
  const names = weights.length > 0 ? weights : [...files];
  const shown = names.slice(0, 16).join(', ');
  return names.length > 16 ? `${shown} and ${names.length - 16} more` : shown;
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
): Promise<readonly string[]> {
  if (kind === 'gguf') return ggufPart(file)?.all.slice(1) ?? [];
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
