import type { FastifyReply, FastifyRequest } from 'fastify';
import { OctavoError } from '../../engine/errors.js';
import type { AppContext, GenerationRecord } from '../app-context.js';

/**
 * Does the engine work of one API request. While it runs the request counts as in flight; a client that leaves, or a server that
 * ends, aborts it through the controller's signal.
 *
 * @param work what it starts must end when the signal is aborted: that also happens when `work` has ended
 * @throws OctavoError `draining`, `engine_failed`, and what `work` throws
 */
export async function runInFlight<Result>(
  context: AppContext,
  request: FastifyRequest,
  reply: FastifyReply,
  record: GenerationRecord,
  work: (controller: AbortController) => Promise<Result>,
): Promise<Result> {
  request.generation = record;
  if (context.engine.state === 'failed') {
    throw new OctavoError('engine_failed', 'the engine has failed');
  }
  const controller = context.inFlight.begin();
  abortOnDisconnect(reply, controller);
  try {
    return await work(controller);
  } finally {
    // Streams with a read under way end only so; for those at their end it changes nothing.
    controller.abort();
    context.inFlight.end(controller);
  }
}

function abortOnDisconnect(reply: FastifyReply, controller: AbortController): void {
  const abort = (): void =>
    controller.abort(new OctavoError('client_closed', 'the client closed the connection'));
  if (reply.raw.destroyed) abort();
  // After a complete answer this comes too, and changes nothing.
  else reply.raw.once('close', abort);
}
