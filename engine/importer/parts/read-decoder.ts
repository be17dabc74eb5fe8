import { join } from 'node:path';
import { Graph } from '../graph.js';
import { STEP_INPUT } from '../imported-model.js';
import { findModelFile, readModelProto } from '../model-file.js';
import { findParts } from './find-parts.js';
import { EMBEDS, joinEmbedding } from './join-embedding.js';

/**
 * Reads a decoder's graph. The decoder of a model of text and images begins with rows of its
 * embedding, which is a graph of its own: the two become one that begins with token ids.
 *
 * @param path of the decoder's file in `modelDir`
 * @throws OctavoError `model_file_missing`, `model_file_corrupt`, `model_unsupported`
 */
export async function readDecoder(modelDir: string, path: string): Promise<Graph> {
  const file = await findModelFile(modelDir, path);
  const decoder = new Graph(await readModelProto(file), file);
  if (decoder.inputs.has(STEP_INPUT.inputIds) || !decoder.inputs.has(EMBEDS)) return decoder;
  const { embedding } = await findParts(modelDir, path);
  if (embedding === null) return decoder;
  const embeddingFile = join(modelDir, embedding);
  return joinEmbedding(decoder, new Graph(await readModelProto(embeddingFile), embeddingFile));
}
