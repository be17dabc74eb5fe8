import { readdirSync, statSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { OctavoError } from '../errors.js';
import { type GgufMetadata, readGguf } from './gguf.js';
import { ggufModelsAmong, ggufPart, oneModel } from './gguf-names.js';
import { corrupt, named } from './gguf-values.js';
import type { Checkpoint, StoredTensor } from './stored-tensor.js';

export interface GgufCheckpoint extends Checkpoint {
  readonly metadata: GgufMetadata;
}

/** Whether a path is that of a GGUF file that exists. */
export function isGgufFile(path: string): boolean {
  return /\.gguf$/i.test(path) && statSync(path, { throwIfNoEntry: false })?.isFile() === true;
}

/**
 * The GGUF file of a directory: of one model in several quantizations, the preferred one; the first
 * part, of a model in several files.
 *
 * @returns null when the directory has none
 * @throws OctavoError `model_file_missing` when it has several models
 */
export function ggufIn(dir: string): string | null {
  const models = ggufModelsAmong(readdirSync(dir));
  if (models.length === 0) return null;
  const model = oneModel(models);
  if (model) return join(dir, model.file);
  const names = models.map(({ file }) => file).toSorted();
  throw new OctavoError(
    'model_file_missing',
    `${dir}: has ${models.length} GGUF models; name one of the files: ${names.slice(0, 8).join(', ')}`,
  );
}

/**
 * What was read last, while memory allows: a file stands for all files of a model's directory, each
 * of which is asked for in turn, and a vocabulary takes a while to read.
 */
let last: { readonly stamp: string; readonly checkpoint: WeakRef<GgufCheckpoint> } | null = null;

/**
 * Reads metadata and tensors of a model, all of its parts, unless they are as they were last time.
 *
 * @param file the file, or its first part
 * @throws OctavoError `model_file_missing`, `model_file_corrupt`
 */
export function readGgufCheckpoint(file: string): GgufCheckpoint {
  const files = partsOf(file);
  const stamp = stampOf(dirname(file), files);
  const known = stamp !== null && last?.stamp === stamp ? last.checkpoint.deref() : undefined;
  if (known) return known;
  const checkpoint = readParts(file, files);
  last = stamp === null ? null : { stamp, checkpoint: new WeakRef(checkpoint) };
  return checkpoint;
}

/** Where files are and when they changed; null when one is missing, which the reading reports. */
function stampOf(dir: string, files: readonly string[]): string | null {
  try {
    const stamps = files.map((name) => {
      const { ino, size, mtimeNs, ctimeNs } = statSync(join(dir, name), { bigint: true });
      return [join(dir, name), ino, size, mtimeNs, ctimeNs].join();
    });
    return stamps.join('\n');
  } catch {
    return null;
  }
}

function readParts(file: string, files: readonly string[]): GgufCheckpoint {
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

/**
 * Names of all parts, in order.
 *
 * @param file the file, or its first part
 * @throws OctavoError `model_file_missing` for another part
 */
export function partsOf(file: string): readonly string[] {
  const part = ggufPart(basename(file));
  if (part === null || part.number === 1) return part?.all ?? [basename(file)];
  throw new OctavoError(
    'model_file_missing',
    `${file}: is part ${part.number} of ${part.all.length}; name the first, ${part.all[0]}`,
  );
}
