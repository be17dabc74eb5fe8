import type { FastifyReply } from 'fastify';
import { Type } from 'typebox';
import { assertEngineReady } from '../../engine/client/engine-state.js';
import { packageVersion } from '../../engine/environment/package-root.js';
import { OctavoError } from '../../engine/errors.js';
import type { TokenId } from '../../scheduler/ids.js';
import { probe } from '../generation/probe.js';
import { errorBody, toOctavoError } from '../http/errors.js';
import type { InFlight } from '../http/in-flight.js';
import type { ServerMetrics } from '../metrics/server-metrics.js';
import type { ModelService } from '../models.js';
import type { Models } from '../pool/models.js';
import type { PrefixPins } from '../prefixes/prefix-pins.js';
import type { TypedApp } from './typed-app.js';

/** How long `/health_generate` waits for a token, as SGLang's does. */
const PROBE_MS = 20_000;

const Flag = Type.Optional(Type.Enum(['true', 'false', '1', '0']));

const isTrue = (flag: string | undefined): boolean => flag === 'true' || flag === '1';

/**
 * vLLM's: whether what is cached outside the pages is forgotten, too, and whether running requests
 * are computed again.
 */
const ResetQuery = Type.Object({ reset_external: Flag, reset_running_requests: Flag });

/** Routes for operators. */
export function addOperationsRoutes(
  app: TypedApp,
  models: Models,
  metrics: ServerMetrics,
  inFlight: InFlight,
  pins: PrefixPins,
): void {
  const version = packageVersion();

  const assertReady = (): void => {
    // Models that are not loaded, or whose engine has failed, are loaded when they are asked for.
    for (const { service, source } of models.all) {
      const isLost = service && (source === null || models.all.length === 1);
      if (isLost) assertEngineReady(service.engine);
    }
    inFlight.assertAdmitting();
  };

  const reset = async (service: ModelService, tiers: boolean): Promise<boolean> => {
    try {
      const isDone = await service.engine.resetPrefixCache(tiers);
      if (isDone) pins.forget(service);
      return isDone;
    } catch (error) {
      // The pages are empty by then.
      if (toOctavoError(error).kind === 'kv_tier_not_cleared') pins.forget(service);
      throw error;
    }
  };

  app.get('/health', async (_request, reply) => {
    try {
      assertReady();
      return { status: 'ok' };
    } catch (error) {
      return unhealthy(reply, error);
    }
  });

  app.get('/health_generate', async (_request, reply) => {
    try {
      assertReady();
      const token = 0 as TokenId;
      await Promise.all(models.loaded.map(({ engine }) => probe(engine, token, PROBE_MS)));
      return { status: 'ok' };
    } catch (error) {
      return unhealthy(reply, error);
    }
  });

  app.get('/metrics', async (_request, reply) => {
    const text = await metrics.render();
    return reply.type(metrics.contentType).send(text);
  });

  app.post(
    '/reset_prefix_cache',
    { schema: { querystring: ResetQuery } },
    async (request, reply) => {
      const { reset_external: external, reset_running_requests: running } = request.query;
      if (isTrue(running)) {
        const message = 'reset_running_requests is not supported: try again when no request runs';
        throw new OctavoError('invalid_request', message, { param: 'reset_running_requests' });
      }
      const resets = models.loaded.map((service) => reset(service, isTrue(external)));
      const done = await Promise.all(resets);
      if (done.every(Boolean)) return reply.code(200).send({ status: 'ok' });
      throw new OctavoError(
        'prefix_cache_in_use',
        'the prefix cache cannot be reset while requests hold blocks; try again when none runs',
      );
    },
  );

  app.get('/version', async () => ({ version }));
}

/** For health checks, any state other than ready is a 503. */
function unhealthy(reply: FastifyReply, error: unknown): FastifyReply {
  reply.header('retry-after', '1');
  return reply.code(503).send(errorBody(toOctavoError(error)));
}
