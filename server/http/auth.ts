import { createHash, timingSafeEqual } from 'node:crypto';
import type { FastifyRequest } from 'fastify';
import { OctavoError } from '../../engine/errors.js';

/** All other routes need a key, so that a new route is guarded by default. */
const OPEN_ROUTES: ReadonlySet<string> = new Set([
  '/health',
  '/metrics',
  '/version',
  '/openapi.json',
  // Pages contain no data; they request it with the key.
  '/',
  '/dashboard',
  '/docs',
  '/pages/:file',
]);

/**
 * Creates the check for a set of keys; without keys, all routes are open.
 *
 * @returns a function that gives the key's fingerprint, or null where none is needed; throws
 *   OctavoError `invalid_api_key`
 */
export function createKeyCheck(
  keys: readonly string[],
): (request: FastifyRequest) => string | null {
  const digests = keys.map(digest);
  return (request) => {
    if (digests.length === 0 || !isGuarded(request)) return null;
    const given = apiKeyOf(request);
    if (given === null) {
      const message = 'no API key: send authorization: Bearer <key>, or x-api-key: <key>';
      throw new OctavoError('invalid_api_key', message);
    }
    // Digests have the same length, and all are compared, so the time reveals nothing about any
    // key.
    const candidate = digest(given);
    const matches = digests.filter((known) => timingSafeEqual(known, candidate));
    if (matches.length === 0) throw new OctavoError('invalid_api_key', 'the API key is not valid');
    return fingerprint(candidate);
  };
}

/** Enough to distinguish a server's keys in its log, and too little to guess a random key. */
function fingerprint(keyDigest: Buffer): string {
  return keyDigest.toString('hex', 0, 4);
}

/**
 * The key that a request was sent with, checked or not: OpenAI's clients send it as a bearer token,
 * Anthropic's in a header of its own. The bearer token wins.
 */
export function apiKeyOf({ headers }: Pick<FastifyRequest, 'headers'>): string | null {
  const token = /^Bearer +(.+)$/i.exec(headers.authorization ?? '')?.[1];
  if (token !== undefined) return token;
  const key = headers['x-api-key'];
  return typeof key === 'string' && key !== '' ? key : null;
}

function isGuarded(request: FastifyRequest): boolean {
  // The route, not the address as it was written: that may be encoded.
  const route = request.routeOptions.url;
  return route === undefined ? /^\/(v1|api)\//.test(request.url) : isGuardedRoute(route);
}

/** @param route as it was registered */
export function isGuardedRoute(route: string): boolean {
  return !OPEN_ROUTES.has(route);
}

function digest(key: string): Buffer {
  return createHash('sha256').update(key).digest();
}
