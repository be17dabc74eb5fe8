import { OctavoError } from '../../engine/errors.js';
import type { ModelService } from '../models.js';

const SERVES = {
  embed: '/v1/embeddings',
  score: '/v1/rerank and /v1/score',
} as const;

/** @throws OctavoError `task_unsupported` for an encoder, which generates no text */
export function assertGenerates({ engine, name }: Pick<ModelService, 'engine' | 'name'>): void {
  const { encoder } = engine.info;
  if (!encoder) return;
  const message = `the model '${name}' is an encoder, and generates no text; it serves ${SERVES[encoder.task]}`;
  throw new OctavoError('task_unsupported', message, { param: 'model' });
}
