import { assertEngineReady } from '../../engine/client/engine-state.js';
import { packageVersion } from '../../engine/environment/package-root.js';
import { OctavoError } from '../../engine/errors.js';
import type { AppContext } from '../app-context.js';
import { errorBody, toOctavoError } from '../http/errors.js';
import type { TypedApp } from './typed-app.js';

/** Routes for those who run the server: no key needed, except for /metrics and the like being reachable at all. */
export function addOperationsRoutes(app: TypedApp, context: AppContext): void {
  const version = packageVersion();

  app.get('/health', async (_request, reply) => {
    const { engine, inFlight } = context;
    try {
      assertEngineReady(engine);
      inFlight.assertAdmitting();
      return { status: 'ok' };
    } catch (error) {
      // Not ready, for whatever reason, is 503 to those who ask for health.
      reply.header('retry-after', '1');
      return reply.code(503).send(errorBody(toOctavoError(error)));
    }
  });

  app.get('/metrics', async (_request, reply) => {
    const text = await context.metrics.render();
    return reply.type(context.metrics.contentType).send(text);
  });

  app.post('/reset_prefix_cache', async (_request, reply) => {
    if (await context.engine.resetPrefixCache()) return reply.code(200).send({ status: 'ok' });
    throw new OctavoError(
      'prefix_cache_in_use',
      'the prefix cache cannot be reset while requests hold blocks; try again when none runs',
    );
  });

  app.get('/version', async () => ({ version }));
}
