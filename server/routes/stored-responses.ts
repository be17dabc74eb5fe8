import type { FastifyRequest } from 'fastify';
import { Type } from 'typebox';
import { clip } from '../../engine/clip.js';
import type { Clock } from '../../engine/clock.js';
import { OctavoError } from '../../engine/errors.js';
import { pageOf } from '../openai/page.js';
import type { BackgroundResponses } from '../openai/responses/background-responses.js';
import type { StoredResponse } from '../openai/responses/response-store.js';
import { sendEnd, sendEvents } from './background-responses.js';
import type { TypedApp } from './typed-app.js';

/** Identifies clients by their keys. */
type Asker = Pick<FastifyRequest, 'key'>;

const Id = Type.Object({ id: Type.String() });

const ItemsQuery = Type.Object({
  order: Type.Optional(Type.Enum(['asc', 'desc'])),
  after: Type.Optional(Type.String()),
  limit: Type.Optional(Type.String()),
});

const RetrieveQuery = Type.Object({
  stream: Type.Optional(Type.String()),
  starting_after: Type.Optional(Type.String({ pattern: '^[0-9]{1,9}$' })),
});

/**
 * What can be done with a response once it is there.
 *
 * @param ownerOf the client that asks
 */
export function addStoredResponseRoutes(
  app: TypedApp,
  background: BackgroundResponses,
  ownerOf: (request: Asker) => string,
  clock: Clock,
): void {
  const find = (request: Asker, id: string): StoredResponse => {
    const stored = background.find(id, ownerOf(request));
    if (stored) return stored;
    throw new OctavoError('response_not_found', `response with id '${clip(id)}' not found`);
  };

  // Not an id: a client that asks for it should not be told of other methods.
  app.post('/v1/responses/compact', { schema: { hide: true } }, async () => {
    throw new OctavoError('route_not_found', 'no such route: POST /v1/responses/compact');
  });

  app.get(
    '/v1/responses/:id',
    { schema: { params: Id, querystring: RetrieveQuery } },
    async (request, reply) => {
      const { id } = request.params;
      const { stream = 'false', starting_after: after = '-1' } = request.query;
      const { response } = find(request, id);
      if (stream === 'false') return response;
      if (!response.background) {
        const message = 'stream: only background responses are streamed again';
        throw new OctavoError('invalid_request', message, { param: 'stream' });
      }
      const running = background.running(id, ownerOf(request));
      await (running
        ? sendEvents(reply, clock, running, Number(after))
        : sendEnd(reply, clock, response, Number(after)));
      return undefined;
    },
  );

  app.delete('/v1/responses/:id', { schema: { params: Id } }, async ({ params: { id }, key }) => {
    find({ key }, id);
    background.delete(id, ownerOf({ key }));
    return { id, object: 'response', deleted: true };
  });

  app.post(
    '/v1/responses/:id/cancel',
    { schema: { params: Id } },
    async ({ params: { id }, key }) => {
      const { response } = find({ key }, id);
      if (!response.background) {
        const message = 'only background responses can be cancelled';
        throw new OctavoError('invalid_request', message);
      }
      background.running(id, ownerOf({ key }))?.cancel();
      return find({ key }, id).response;
    },
  );

  app.get(
    '/v1/responses/:id/input_items',
    { schema: { params: Id, querystring: ItemsQuery } },
    async ({ params: { id }, query, key }) => {
      const { input } = find({ key }, id);
      return pageOf(query.order === 'asc' ? input : input.toReversed(), query, 'input item');
    },
  );
}
