import { InferenceSession } from 'onnxruntime-node';
import type { ImportedModel } from '../../../engine/importer/imported-model.js';

/** A session of a model's first segment, made as the runner makes it. */
export function firstSession({ segments, weightsDir }: ImportedModel): Promise<InferenceSession> {
  const [{ model }] = segments;
  const directory = weightsDir ?? '';
  const extra = { session: { model_external_initializers_file_folder_path: directory } };
  return typeof model === 'string'
    ? InferenceSession.create(model)
    : InferenceSession.create(model, weightsDir === null ? {} : { extra });
}
