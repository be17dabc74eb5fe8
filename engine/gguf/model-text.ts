import { readGgufCheckpoint } from '../checkpoint/gguf-files.js';
import { readGgufModel } from './architectures.js';
import { GgufKeys } from './keys.js';
import { generationJson, tokenizerConfigJson, tokenizerJson } from './tokenizer.js';

/**
 * A GGUF file holds what a model's directory has in files. This is the text of such a file, so that
 * whatever reads a directory reads a GGUF file, too.
 *
 * @param path of the GGUF file, which takes the place of the directory
 * @returns null when a directory would not have it either
 * @throws OctavoError `model_file_missing`, `model_file_corrupt`, `model_unsupported`
 */
export function ggufText(path: string, file: string): string | null {
  const write = TEXTS[file];
  return write === undefined ? null : JSON.stringify(write(path));
}

const keysOf = (path: string): GgufKeys => new GgufKeys(path, readGgufCheckpoint(path).metadata);

const TEXTS: Readonly<Record<string, (path: string) => unknown>> = {
  'config.json': (path) => readGgufModel(readGgufCheckpoint(path)).config,
  'tokenizer.json': (path) => tokenizerJson(keysOf(path)),
  'tokenizer_config.json': (path) => tokenizerConfigJson(keysOf(path)),
  'generation_config.json': (path) => generationJson(keysOf(path)),
};
