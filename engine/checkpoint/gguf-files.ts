import { readdirSync, statSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { OctavoError } from '../errors.js';
import { type GgufMetadata, readGguf } from './gguf.js';
import { corrupt, named } from './gguf-values.js';
import type { Checkpoint, StoredTensor } from './stored-tensor.js';

/** Part n of m of a model whose weights lie in several files. */
const PART = /^(.*)-(\d{5})-of-(\d{5})\.gguf$/i;

export interface GgufCheckpoint extends Checkpoint {
  readonly metadata: GgufMetadata;
}

/** Whether a path is that of a GGUF file that exists. */
export function isGgufFile(path: string): boolean {
  return /\.gguf$/i.test(path) && statSync(path, { throwIfNoEntry: false })?.isFile() === true;
}

/**
 * The GGUF file of a directory: the first part, of a model in several files. Files of a vision
 * encoder (`mmproj-`) and of importance matrices (`imatrix`) are none.
 *
 * @returns null when the directory has none
 * @throws OctavoError `model_file_missing` when it has several models
 */
export function ggufIn(dir: string): string | null {
  const names = readdirSync(dir)
    .filter((name) => /\.gguf$/i.test(name))
    .toSorted();
  const models = names.filter((name) => !/mmproj|imatrix/i.test(name) && !isLaterPart(name));
  if (models.length <= 1) return models.length === 0 ? null : join(dir, models[0]);
  throw new OctavoError(
    'model_file_missing',
    `${dir}: has ${models.length} GGUF models; name one of the files: ${models.slice(0, 8).join(', ')}`,
  );
}

const isLaterPart = (name: string): boolean => Number(PART.exec(name)?.[2] ?? 1) > 1;

/** A model's name by its file: without ending and number of the part. */
export function ggufName(file: string): string {
  const name = basename(file);
  return PART.exec(name)?.[1] ?? name.replace(/\.gguf$/i, '');
}

/**
 * Reads metadata and tensors of a model, all of its parts.
 *
 * @param file the file, or its first part
 * @throws OctavoError `model_file_missing`, `model_file_corrupt`
 */
export function readGgufCheckpoint(file: string): GgufCheckpoint {
  const files = partsOf(file);
  const tensors = new Map<string, StoredTensor>();
  let metadata: GgufMetadata = new Map();
  for (const [index, part] of files.entries()) {
    const read = readGguf(join(dirname(file), part));
    if (index === 0) metadata = read.metadata;
    for (const tensor of read.tensors) {
      const other = tensors.get(tensor.name);
      if (other) {
        throw corrupt(
          tensor,
          `has the ${named('tensor', tensor.name)}, which ${basename(other.file)} has, too`,
        );
      }
      tensors.set(tensor.name, tensor);
    }
  }
  const parts = metadata.get('split.count');
  if (typeof parts === 'number' && parts > files.length) {
    throw new OctavoError(
      'model_file_missing',
      `${file}: is one of ${parts} parts of a model; the parts are found by names that end in -00001-of-${String(parts).padStart(5, '0')}.gguf`,
    );
  }
  const count = metadata.get('split.tensors.count');
  if (typeof count === 'number' && files.length > 1 && count !== tensors.size) {
    throw corrupt({ file }, `states ${count} tensors in all parts, which have ${tensors.size}`);
  }
  return { dir: dirname(file), file, files, tensors, metadata };
}

/** Names of all parts, in order. */
function partsOf(file: string): string[] {
  const [, name, number, total] = PART.exec(basename(file)) ?? [];
  if (total === undefined) return [basename(file)];
  if (Number(number) !== 1) {
    throw new OctavoError(
      'model_file_missing',
      `${file}: is part ${Number(number)} of ${Number(total)}; name the first, ${name}-00001-of-${total}.gguf`,
    );
  }
  return Array.from(
    { length: Number(total) },
    (_, i) => `${name}-${String(i + 1).padStart(5, '0')}-of-${total}.gguf`,
  );
}
