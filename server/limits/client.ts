import { createHash } from 'node:crypto';
import type { FastifyRequest } from 'fastify';
import type { Settings } from '../config/settings.js';
import { apiKeyOf } from '../http/auth.js';
import type { ApiKey } from '../keys/api-key.js';

/**
 * Identifies the client of a request, for everything that clients share: by its checked key, or
 * else by its address. A key is not stored; a digest is used instead.
 *
 * @param keyed whether the server requires keys
 */
export function clientOf(
  request: Pick<FastifyRequest, 'headers' | 'ip'> & { readonly key?: ApiKey | null },
  keyed: boolean,
): string {
  // A request of a batch has its client's key, and no header.
  if (request.key) return `key:${request.key.digest.toString('base64')}`;
  const token = keyed ? apiKeyOf(request) : null;
  if (token === null) return `address:${request.ip}`;
  return `key:${createHash('sha256').update(token).digest('base64')}`;
}

/**
 * Whose share of the engine a request takes: its client's, or that of one of the client's users.
 *
 * @param user what the client calls the user; absent: the client's requests without one share
 */
export function tenantOf(
  client: string,
  user: string | null | undefined,
  by: Settings['fairShareBy'],
): string {
  if (by === 'key' || typeof user !== 'string') return client;
  return `${client} user:${createHash('sha256').update(user).digest('base64')}`;
}
