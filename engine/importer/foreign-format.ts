import { readdir } from 'node:fs/promises';
import { basename, dirname, extname, join } from 'node:path';
import { findSafetensors } from '../checkpoint/safetensors-files.js';
import { EXPORT_ADVICE } from './advice.js';
import { listVariants, variantsAmong, WEIGHT_FOLDERS } from './variants.js';

/**
 * Model formats that are not served, by the endings of their files' names, and how to convert them.
 */
const FORMATS: readonly {
  readonly ending: RegExp;
  readonly format: string;
  readonly wayOut: (path: string) => string;
}[] = [
  {
    ending: /\.(bin|bin\.index\.json|pth|pt)$/,
    format: 'a file of PyTorch weights',
    wayOut: () =>
      `save the model as safetensors (transformers: save_pretrained), or export it with ${EXPORT_ADVICE}`,
  },
];

const ONE_FILE =
  'it is one file of a model; give its directory, which has config.json and the tokenizer too';

/**
 * For a path without a model that is served: one line for the user that says what is there instead,
 * and what to do.
 *
 * @returns null for a directory with an ONNX decoder or safetensors, and when no known format is
 *   found
 */
export async function foreignFormat(path: string): Promise<string | null> {
  const names = await readdir(path).catch(() => null);
  if (names === null) return foreignFile(path);
  if ((await listVariants(path)).length > 0) return null;
  if ((await findSafetensors(path)) !== null) return null;
  for (const { ending, format, wayOut } of FORMATS) {
    const file = names.find((name) => ending.test(name) && name !== 'training_args.bin');
    if (file === undefined) continue;
    return `it has ${file}, ${format}, but neither an ONNX model nor model.safetensors; ${wayOut(join(path, file))}`;
  }
  return null;
}

function foreignFile(path: string): string | null {
  if (extname(path) === '.onnx') return insideOf(path);
  if (extname(path) === '.safetensors') return `${ONE_FILE}: ${dirname(path)}`;
  const known = FORMATS.find(({ ending }) => ending.test(path));
  return known
    ? `it is ${known.format}, neither an ONNX model nor safetensors; ${known.wayOut(path)}`
    : null;
}

/** Users name an ONNX file's directory and, if it holds several files, the number format. */
function insideOf(path: string): string {
  const folder = dirname(path);
  const inner = `${basename(folder)}/`;
  const isInner = WEIGHT_FOLDERS.includes(inner);
  const dir = isInner ? dirname(folder) : folder;
  const inside = isInner ? `${inner}${basename(path)}` : basename(path);
  const [variant] = variantsAmong(new Set([inside]));
  const choice = variant && variant.dtype !== 'fp32' ? ` --dtype ${variant.dtype}` : '';
  return `${ONE_FILE}: ${dir}${choice}`;
}
