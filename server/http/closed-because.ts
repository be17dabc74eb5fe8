import type { FastifyReply } from 'fastify';
import { OctavoError } from '../../engine/errors.js';

/** Why a connection has ended before its answer was sent: the server says so when it was the server. */
export function closedBecause({ raw }: Pick<FastifyReply, 'raw'>): OctavoError {
  const reason = raw.errored ?? raw.socket?.errored;
  if (reason instanceof OctavoError) return reason;
  return new OctavoError('client_closed', 'the client closed the connection');
}
