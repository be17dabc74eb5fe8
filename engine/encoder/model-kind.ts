import { isEncoderCheckpoint } from '../architectures/encoders/describe-encoder.js';
import { OctavoError } from '../errors.js';
import { findModelFile } from '../importer/model-file.js';
import { type GraphInterface, graphInterface } from '../importer/onnx/graph-interface.js';
import { chooseVariant } from '../importer/variants.js';
import { checkpointOf, type ModelFiles } from '../model/open-model.js';
import { readArchitectures } from './encoder-config.js';

/** A decoder generates token by token, over a KV cache; an encoder reads a text at once. */
export type ModelKind = 'decoder' | 'encoder';

/** What exporters call the rows of an encoder's last layer, and the vector that they became. */
export const ROWS_OUTPUTS = ['last_hidden_state', 'token_embeddings'] as const;
export const VECTOR_OUTPUT = 'sentence_embedding';
/** Of a sequence classifier, with one score or more for each text. */
export const SCORES_OUTPUT = 'logits';

/**
 * What a model is: a checkpoint by its architecture, an ONNX file by the names of its graph's
 * inputs and outputs. A decoder without a cache among
 * its inputs is one, too: the importer says why it cannot be served.
 *
 * @throws OctavoError `model_file_missing`
 */
export async function modelKindOf(files: ModelFiles): Promise<ModelKind> {
  if ((await checkpointOf(files)) !== null) {
    return (await isEncoderCheckpoint(files.modelDir)) ? 'encoder' : 'decoder';
  }
  const path = await encoderPath(files);
  const names = interfaceOf(path);
  // The importer says better what is wrong with it.
  if (names === null) return 'decoder';
  const { inputs, outputs } = names;
  const takesPast = inputs.some((name) => /^past|cache/i.test(name));
  if (takesPast || !inputs.includes('input_ids')) return 'decoder';
  const givesRows = [...ROWS_OUTPUTS, VECTOR_OUTPUT].some((name) => outputs.includes(name));
  return givesRows || (await isClassifier(files.modelDir, outputs)) ? 'encoder' : 'decoder';
}

/** Null for a file that is no complete protobuf. */
function interfaceOf(path: string): GraphInterface | null {
  try {
    return graphInterface(path);
  } catch (error) {
    if (error instanceof OctavoError && error.kind === 'model_file_corrupt') return null;
    throw error;
  }
}

/** The ONNX file of an encoder. */
export async function encoderPath({ modelDir, file, dtype = 'auto' }: ModelFiles): Promise<string> {
  const path = file ?? (await chooseVariant(modelDir, dtype)).path;
  return findModelFile(modelDir, path);
}

/** Decoders have logits as well, of tokens. */
async function isClassifier(modelDir: string, outputs: readonly string[]): Promise<boolean> {
  if (!outputs.includes(SCORES_OUTPUT)) return false;
  const names = await readArchitectures(modelDir);
  return names.some((name) => name.endsWith('ForSequenceClassification'));
}
