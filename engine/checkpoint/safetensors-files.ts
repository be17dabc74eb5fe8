import { readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { clip, clipName } from '../clip.js';
import { OctavoError } from '../errors.js';
import { readSafetensors } from './safetensors.js';
import type { Checkpoint, StoredTensor } from './stored-tensor.js';

export const SAFETENSORS = 'model.safetensors';
export const SAFETENSORS_INDEX = 'model.safetensors.index.json';
/** Longest index, in bytes: one of 100,000 tensors has ten million. */
const MAX_INDEX_BYTES = 100_000_000;

/**
 * The file by which a checkpoint's weights are found, among the names of a model's files: the index
 * of its parts, or its one file; null when there is neither.
 */
export function safetensorsAmong(files: ReadonlySet<string>): string | null {
  return [SAFETENSORS_INDEX, SAFETENSORS].find((name) => files.has(name)) ?? null;
}

/** The same for a directory on disk. */
export async function findSafetensors(dir: string): Promise<string | null> {
  return safetensorsAmong(new Set(await readdir(dir).catch(() => [])));
}

/**
 * Reads which tensors a directory of safetensors has, and where. Only headers are read.
 *
 * @param entry what `findSafetensors` has found
 * @throws OctavoError `model_file_missing`, `model_file_corrupt`
 */
export async function readCheckpoint(dir: string, entry: string): Promise<Checkpoint> {
  const file = join(dir, entry);
  if (entry !== SAFETENSORS_INDEX) {
    const tensors = new Map(readSafetensors(file).map((tensor) => [tensor.name, tensor]));
    return { dir, file, files: [entry], tensors };
  }
  const places = await readIndex(file);
  const parts = [...new Set(places.values())].sort();
  const tensors = new Map<string, StoredTensor>();
  for (const part of parts) {
    for (const tensor of readSafetensors(join(dir, part))) {
      if (places.get(tensor.name) !== part) {
        const stated = places.get(tensor.name);
        const where = stated === undefined ? 'does not name it' : `has it in ${stated}`;
        throw corrupt(
          file,
          `${part} has the tensor ${clipName(tensor.name)}, but the index ${where}`,
        );
      }
      tensors.set(tensor.name, tensor);
    }
  }
  for (const [name, part] of places) {
    if (tensors.has(name)) continue;
    throw corrupt(file, `names the tensor ${clipName(name)} in ${part}, which has no such tensor`);
  }
  return { dir, file, files: [entry, ...parts], tensors };
}

/**
 * Names of the files that a directory's weights lie in, the one first by which they are found.
 *
 * @param entry what `findSafetensors` has found
 * @throws OctavoError `model_file_missing`, `model_file_corrupt`
 */
export async function filesOf(dir: string, entry: string): Promise<string[]> {
  if (entry !== SAFETENSORS_INDEX) return [entry];
  const places = await readIndex(join(dir, entry));
  return [entry, ...[...new Set(places.values())].sort()];
}

/**
 * The parts that an index names, which are files of its own directory.
 *
 * @returns by tensor
 * @throws OctavoError `model_file_missing`, `model_file_corrupt`
 */
export async function readIndex(file: string): Promise<ReadonlyMap<string, string>> {
  let text: string;
  try {
    const { size } = await stat(file);
    if (size > MAX_INDEX_BYTES)
      throw corrupt(file, `has ${size} bytes; at most ${MAX_INDEX_BYTES} are read`);
    text = await readFile(file, 'utf8');
  } catch (cause) {
    if (cause instanceof OctavoError) throw cause;
    throw new OctavoError('model_file_missing', `${file}: cannot be read`, { cause });
  }
  let map: unknown;
  try {
    map = (JSON.parse(text) as { weight_map?: unknown } | null)?.weight_map;
  } catch (cause) {
    throw corrupt(file, 'is not JSON', cause);
  }
  if (typeof map !== 'object' || map === null || Array.isArray(map)) {
    throw corrupt(file, 'has no weight_map that names the file of each tensor');
  }
  const entries = Object.entries(map as Record<string, unknown>);
  for (const [name, part] of entries) {
    if (typeof part === 'string' && /^[\w][\w.-]{0,200}\.safetensors$/.test(part)) continue;
    const shown = clip(JSON.stringify(part) ?? 'nothing');
    throw corrupt(
      file,
      `places the tensor ${clipName(name)} in ${shown}; expected a .safetensors file beside it`,
    );
  }
  return new Map(entries as [string, string][]);
}

function corrupt(file: string, what: string, cause?: unknown): OctavoError {
  return new OctavoError('model_file_corrupt', `${file}: ${what}`, { cause });
}
