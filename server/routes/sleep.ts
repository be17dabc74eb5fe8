import { Type } from 'typebox';
import type { Models } from '../pool/models.js';
import { whileConnectedTo } from '../pool/models.js';
import type { TypedApp } from './typed-app.js';

const Which = Type.Object({ model: Type.Optional(Type.String()) });

const SleepQuery = Type.Object({
  /** vLLM's: 1 keeps weights in memory, 2 drops them. Here, they are on the disk in both. */
  level: Type.Optional(Type.Enum(['1', '2'])),
  model: Type.Optional(Type.String()),
});

/**
 * vLLM's words for a server that gives back its memory while it has nothing to do. A request wakes
 * the model that it asks for.
 */
export function addSleepRoutes(app: TypedApp, models: Models): void {
  const chosen = (model: string | undefined) =>
    model === undefined ? models.all : [models.find(model)];

  app.post('/sleep', { schema: { querystring: SleepQuery } }, async ({ query }) => {
    await Promise.all(chosen(query.model).map((entry) => models.unload(entry)));
    return { status: 'ok' };
  });

  app.post('/wake_up', { schema: { querystring: Which } }, async ({ query }, reply) => {
    const entries = query.model === undefined ? [models.first] : chosen(query.model);
    for (const { name } of entries) {
      const { release } = await models.take(name, whileConnectedTo(reply));
      release();
    }
    return { status: 'ok' };
  });

  app.get('/is_sleeping', { schema: { querystring: Which } }, async ({ query }) => ({
    is_sleeping: chosen(query.model).every(({ state }) => state !== 'loaded'),
  }));
}
