import type { FastifyRequest } from 'fastify';
import { OctavoError } from '../../engine/errors.js';
import type { ApiKey } from '../keys/api-key.js';
import type { KeyTable } from '../keys/key-table.js';
import { isGuardedRoute, scopeOf } from '../keys/scopes.js';

/**
 * Creates the check for a table of keys; where none is required, all routes are open.
 *
 * @returns a function that gives the key, or null where none is needed; throws OctavoError
 *   `invalid_api_key`, `key_not_allowed`
 */
export function createKeyCheck(keys: KeyTable): (request: FastifyRequest) => ApiKey | null {
  return (request) => {
    if (!keys.isRequired || !isGuarded(request, keys)) return null;
    const given = apiKeyOf(request);
    if (given === null) {
      const message = 'no API key: send authorization: Bearer <key>, or x-api-key: <key>';
      throw new OctavoError('invalid_api_key', message);
    }
    const key = keys.find(given);
    if (key === null) throw new OctavoError('invalid_api_key', 'the API key is not valid');
    assertScope(key, request.routeOptions.url);
    return key;
  };
}

/** @throws OctavoError `key_not_allowed` when the key may not use the route */
export function assertScope(key: ApiKey, route: string | undefined): void {
  const scope = route === undefined ? null : scopeOf(route);
  if (scope === null || key.scopes.includes(scope)) return;
  const message = `the key ${key.name} has no scope ${scope}, which ${route} needs; it has ${key.scopes.join(', ')}`;
  throw new OctavoError('key_not_allowed', message);
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

function isGuarded(request: FastifyRequest, { hasFile }: KeyTable): boolean {
  // The route, not the address as it was written: that may be encoded.
  const route = request.routeOptions.url;
  return route === undefined ? /^\/(v1|api)\//.test(request.url) : isGuardedRoute(route, hasFile);
}
