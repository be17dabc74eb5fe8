import type { FastifyReply, FastifyRequest } from 'fastify';
import type { AppContext } from '../app-context.js';

/** Asked every few seconds by machines. */
const QUIET_ROUTES: ReadonlySet<string> = new Set(['/health', '/metrics']);

const CLIENT_CLOSED = 499;

/**
 * Counts and logs a request when its response has left, or its connection has ended: one line each. Hijacked replies pass
 * here, too, which Fastify's own hook does not see. Texts and keys are never logged.
 */
export function logWhenDone(
  context: Pick<AppContext, 'logger' | 'metrics' | 'clock'>,
  request: FastifyRequest,
  reply: FastifyReply,
): void {
  reply.raw.once('close', () => {
    const left = !reply.raw.writableFinished;
    const status = left && !reply.raw.headersSent ? CLIENT_CLOSED : reply.raw.statusCode;
    const route = request.routeOptions.url ?? 'unknown';
    context.metrics.countHttp(request.method, route, status);
    const work = request.generation;
    const line = {
      requestId: request.id,
      method: request.method,
      route,
      status,
      totalMs: Math.round(context.clock.now() - request.arrivedAt),
      ...(work === null ? {} : { ...work, finishReason: left ? 'abort' : work.finishReason }),
    };
    context.logger[QUIET_ROUTES.has(route) ? 'debug' : 'info'](line, 'request');
  });
}
