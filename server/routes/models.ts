import { Type } from 'typebox';
import { clip } from '../../engine/clip.js';
import { OctavoError } from '../../engine/errors.js';
import type { AppContext } from '../app-context.js';
import type { TypedApp } from './typed-app.js';

export function addModelRoutes(app: TypedApp, context: AppContext): void {
  const { model, engine, createdAt } = context;
  const entries = model.names.map((id) => ({
    id,
    object: 'model',
    created: createdAt,
    owned_by: 'octavo',
    max_model_len: engine.info.maxModelLength,
  }));

  app.get('/v1/models', async () => ({ object: 'list', data: entries }));

  app.get(
    '/v1/models/:id',
    { schema: { params: Type.Object({ id: Type.String() }) } },
    async ({ params: { id } }) => {
      const entry = entries.find((known) => known.id === id);
      if (entry) return entry;
      throw new OctavoError('model_not_found', `the model '${clip(id)}' does not exist`, {
        param: 'model',
      });
    },
  );
}
