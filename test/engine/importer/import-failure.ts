import { expect } from 'vitest';
import { importModel } from '../../../engine/importer/import-model.js';
import { modelDir } from '../../support/model-dir.js';

export interface ImportFailure {
  readonly kind: string;
  readonly message: string;
}

/** The error of importing a directory with this model.onnx: one line. */
export async function failure(bytes: Uint8Array): Promise<ImportFailure> {
  return importFailure(modelDir({ 'model.onnx': bytes }));
}

export async function importFailure(directory: string): Promise<ImportFailure> {
  const error: unknown = await importModel({ modelDir: directory }).catch((e: unknown) => e);
  expect(error).toMatchObject({ name: 'OctavoError' });
  const { kind, message } = error as ImportFailure;
  expect(message).not.toContain('\n');
  return { kind, message };
}
