import { createHash } from 'node:crypto';
import type { FastifyRequest } from 'fastify';
import { bearerToken } from '../http/auth.js';

/**
 * Identifies the client of a request, for everything that clients share: by its checked key, or
 * else by its address. A key is not stored; a digest is used instead.
 *
 * @param keyed whether the server requires keys
 */
export function clientOf(request: Pick<FastifyRequest, 'headers' | 'ip'>, keyed: boolean): string {
  const token = keyed ? bearerToken(request) : null;
  if (token === null) return `address:${request.ip}`;
  return `key:${createHash('sha256').update(token).digest('base64')}`;
}
