import { Type } from 'typebox';
import { clip } from '../../engine/clip.js';
import { OctavoError } from '../../engine/errors.js';
import { modelPage, toModelInfo } from '../anthropic/model-info.js';
import { speaksAnthropic } from '../http/anthropic-errors.js';
import type { Models } from '../pool/models.js';
import type { TypedApp } from './typed-app.js';

/**
 * The models and adapters by their names, as OpenAI's API words them; for Anthropic's clients, as
 * theirs does. As in vLLM, `root` is an adapter's directory, and `parent` the model that it
 * changes.
 *
 * @param createdAt when the server was started, seconds since 1970
 */
export function addModelRoutes(app: TypedApp, models: Models, createdAt: number): void {
  const entries = () =>
    models.all.flatMap(({ names, state, contextLength, service }) => {
      const shared = {
        object: 'model',
        created: createdAt,
        owned_by: 'octavo',
        // Known once it was loaded.
        max_model_len: contextLength,
        state,
      } as const;
      const [name] = names;
      const own = names.map((id) => ({ id, root: name, parent: null as string | null }));
      const adapters = (service?.engine.adapters?.list ?? []).map(({ name: id, directory }) => {
        return { id, root: directory, parent: name };
      });
      return [...own, ...adapters].map((entry) => Object.assign(entry, shared));
    });

  app.get('/v1/models', async ({ url, headers }) =>
    speaksAnthropic({ url, headers })
      ? modelPage(entries().map(toModelInfo))
      : { object: 'list', data: entries() },
  );

  app.get(
    '/v1/models/:id',
    { schema: { params: Type.Object({ id: Type.String() }) } },
    async ({ params: { id }, url, headers }) => {
      const entry = entries().find((known) => known.id === id);
      if (entry) return speaksAnthropic({ url, headers }) ? toModelInfo(entry) : entry;
      throw new OctavoError('model_not_found', `the model '${clip(id)}' does not exist`, {
        param: 'model',
      });
    },
  );
}
