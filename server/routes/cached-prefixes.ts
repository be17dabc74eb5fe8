import type { FastifyRequest } from 'fastify';
import { Type } from 'typebox';
import { type InFlight, whileConnected } from '../http/in-flight.js';
import { refuseUnsupported } from '../openai/fields/unsupported-fields.js';
import { PrefixSchema } from '../prefixes/prefix-fields.js';
import type { PrefixPins } from '../prefixes/prefix-pins.js';
import type { TypedApp } from './typed-app.js';

/** Any text: a name that no prefix can have is not found. */
const Name = Type.Object({ name: Type.String() });

/**
 * Named prefixes that stay cached.
 *
 * @param clientOf who asks
 */
export function addCachedPrefixRoutes(
  app: TypedApp,
  pins: PrefixPins,
  inFlight: InFlight,
  clientOf: (request: FastifyRequest) => string,
): void {
  app.post('/v1/cache/prefixes', { schema: { body: PrefixSchema } }, async (request, reply) => {
    refuseUnsupported(request.body, PrefixSchema);
    const running = inFlight.begin();
    try {
      return await whileConnected(reply, (left) => {
        const signal = AbortSignal.any([left, running.signal]);
        return pins.warm(request.body, { client: clientOf(request), signal });
      });
    } finally {
      inFlight.end(running);
    }
  });

  app.get('/v1/cache/prefixes', async () => ({ object: 'list', data: pins.list() }));

  app.delete('/v1/cache/prefixes/:name', { schema: { params: Name } }, async ({ params }) => {
    pins.unpin(params.name);
    return { object: 'cache.prefix', name: params.name, deleted: true };
  });
}
