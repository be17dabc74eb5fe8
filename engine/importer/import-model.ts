import { analyzeModel, type ImportOptions } from './analyze-model.js';
import { emitSegments } from './emit/segments.js';
import type { ImportedModel } from './imported-model.js';

/**
 * Reads a decoder and makes it servable on the CPU.
 *
 * @throws OctavoError `model_file_missing`, `model_file_corrupt`, `model_unsupported`: one line
 *   that names file and node
 */
export async function importModel(options: ImportOptions): Promise<ImportedModel> {
  return emitSegments(await analyzeModel(options));
}
