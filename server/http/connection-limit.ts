import type { Socket } from 'node:net';
import type { FastifyReply } from 'fastify';
import { OctavoError } from '../../engine/errors.js';

/**
 * Answers the requests of connections beyond the limit with 503 and closes them. (Node's own `maxConnections` would close
 * them without a word, and clients would see a broken network.)
 *
 * @param open connections in the order in which they came
 * @throws OctavoError `overloaded`
 */
export function refuseBeyond(limit: number, open: ReadonlySet<Socket>, reply: FastifyReply): void {
  if (open.size <= limit) return;
  const position = [...open].indexOf(reply.raw.socket as Socket);
  if (position < limit) return;
  reply.header('connection', 'close');
  throw new OctavoError(
    'overloaded',
    `the server is overloaded: it has ${limit} open connections, which is all it takes`,
  );
}
