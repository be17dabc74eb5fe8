import type { FastifyReply } from 'fastify';
import { OctavoError } from '../../engine/errors.js';

/** Does work for a client that may leave meanwhile: the signal is aborted then. */
export async function whileConnected<Result>(
  reply: FastifyReply,
  work: (signal: AbortSignal) => Promise<Result>,
): Promise<Result> {
  const controller = new AbortController();
  const leave = (): void =>
    controller.abort(new OctavoError('client_closed', 'the client closed the connection'));
  if (reply.raw.destroyed) leave();
  reply.raw.once('close', leave);
  try {
    return await work(controller.signal);
  } finally {
    reply.raw.off('close', leave);
  }
}
