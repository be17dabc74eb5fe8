import type { FastifyReply, FastifyRequest } from 'fastify';

/** Bytes of a refused body that are read and thrown away, at most. */
const MAX_DISCARDED = 64 * 2 ** 20;

/**
 * Lets a client finish sending a body that is refused. If the connection were closed at once, the client would still write to it, see a
 * broken network instead of the answer, and send all of it again. A body without a length, or a larger one, is not worth it.
 */
export function readOn(request: FastifyRequest, reply: FastifyReply): void {
  const length = Number(request.headers['content-length'] ?? Number.POSITIVE_INFINITY);
  if (length <= MAX_DISCARDED) reply.removeHeader('connection');
}
