import type { FastifyReply, FastifyRequest } from 'fastify';

/** Headers that scripts of another site may read, besides those that are always allowed. */
const EXPOSED = [
  'request-id',
  'retry-after',
  'x-request-id',
  ...['limit', 'remaining', 'reset'].flatMap((part) =>
    ['requests', 'tokens'].map((unit) => `x-ratelimit-${part}-${unit}`),
  ),
].join(', ');

/** How long a browser may remember a permission, in seconds: Chrome takes no more. */
const MAX_AGE = 7200;

/**
 * Lets pages of some sites call the API (the Fetch standard's CORS protocol). Keys come in a header
 * that the page sets itself, so no cookies are involved, and credentials are never allowed.
 *
 * @param allowed origins as browsers write them, or `*` for any
 * @returns a function that sets the headers, and says whether the request is a preflight, which is
 *   answered by them alone: browsers send it without a key
 */
export function createCors(
  allowed: readonly string[],
): (request: FastifyRequest, reply: FastifyReply) => boolean {
  if (allowed.length === 0) return () => false;
  const origins = new Set(allowed.map((origin) => origin.toLowerCase()));
  const isAny = origins.has('*');
  return ({ headers, method }, reply) => {
    // A cache must not give one site the answer to another.
    if (!isAny) reply.header('vary', 'origin');
    const { origin } = headers;
    if (origin === undefined || !(isAny || origins.has(origin.toLowerCase()))) return false;
    reply.header('access-control-allow-origin', isAny ? '*' : origin);
    reply.header('access-control-expose-headers', EXPOSED);
    const isPreflight =
      method === 'OPTIONS' && headers['access-control-request-method'] !== undefined;
    if (!isPreflight) return false;
    reply.header('access-control-allow-methods', 'GET, HEAD, POST, DELETE');
    const asked = headers['access-control-request-headers'];
    if (asked !== undefined) reply.header('access-control-allow-headers', asked);
    reply.header('access-control-max-age', String(MAX_AGE));
    return true;
  };
}
