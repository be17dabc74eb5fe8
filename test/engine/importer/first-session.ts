import { InferenceSession } from 'onnxruntime-node';
import type { ImportedModel } from '../../../engine/importer/imported-model.js';

/** A session of a model's first segment, made as the runner makes it. */
export function firstSession({ segments, weightsDir }: ImportedModel): Promise<InferenceSession> {
  const extra = { session: { model_external_initializers_file_folder_path: weightsDir ?? '' } };
  return InferenceSession.create(segments[0].model, weightsDir === null ? {} : { extra });
}
