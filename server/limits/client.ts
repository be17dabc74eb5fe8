import { createHash } from 'node:crypto';
import type { FastifyRequest } from 'fastify';
import { bearerToken } from '../http/auth.js';

/**
 * Who asks, for whatever is shared between clients: told apart by their keys, which were checked; else by their addresses. Keys are not
 * stored: a digest stands for them.
 *
 * @param keyed whether the server asks for keys
 */
export function clientOf(request: Pick<FastifyRequest, 'headers' | 'ip'>, keyed: boolean): string {
  const token = keyed ? bearerToken(request) : null;
  if (token === null) return `address:${request.ip}`;
  return `key:${createHash('sha256').update(token).digest('base64')}`;
}
