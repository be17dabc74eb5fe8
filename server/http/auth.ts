import { createHash, timingSafeEqual } from 'node:crypto';
import type { FastifyRequest } from 'fastify';
import { OctavoError } from '../../engine/errors.js';

/** Everything else needs a key, so that a new route is guarded unless someone decides otherwise. */
const OPEN_ROUTES: ReadonlySet<string> = new Set([
  '/health',
  '/metrics',
  '/version',
  '/openapi.json',
  // Pages hold no data; what they show is asked for with the key.
  '/',
  '/dashboard',
  '/docs',
  '/pages/:file',
]);

/**
 * Makes the check for a set of keys; without keys everything is open.
 *
 * @returns a function that gives the key's fingerprint, or null where none is needed; throws OctavoError `invalid_api_key`
 */
export function createKeyCheck(
  keys: readonly string[],
): (request: FastifyRequest) => string | null {
  const digests = keys.map(digest);
  return (request) => {
    if (digests.length === 0 || !isGuarded(request)) return null;
    const given = bearerToken(request);
    if (given === null) {
      throw new OctavoError('invalid_api_key', 'no API key: send authorization: Bearer <key>');
    }
    // Digests have one length, and all are compared: the time tells nothing about any key.
    const candidate = digest(given);
    const matches = digests.filter((known) => timingSafeEqual(known, candidate));
    if (matches.length === 0) throw new OctavoError('invalid_api_key', 'the API key is not valid');
    return fingerprint(candidate);
  };
}

/** Enough to tell a server's keys apart in its log, and too little to find one that was drawn at random. */
function fingerprint(keyDigest: Buffer): string {
  return keyDigest.toString('hex', 0, 4);
}

export function bearerToken(request: Pick<FastifyRequest, 'headers'>): string | null {
  return /^Bearer +(.+)$/i.exec(request.headers.authorization ?? '')?.[1] ?? null;
}

function isGuarded(request: FastifyRequest): boolean {
  // The route, not the address as it was written: that may be encoded.
  const route = request.routeOptions.url;
  return route === undefined ? request.url.startsWith('/v1/') : isGuardedRoute(route);
}

/** @param route as it was registered */
export function isGuardedRoute(route: string): boolean {
  return !OPEN_ROUTES.has(route);
}

function digest(key: string): Buffer {
  return createHash('sha256').update(key).digest();
}
