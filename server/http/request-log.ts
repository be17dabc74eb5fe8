import type { FastifyReply, FastifyRequest } from 'fastify';
import type { Logger } from 'pino';
import type { Clock } from '../../engine/clock.js';
import { fingerprintOf } from '../keys/api-key.js';
import type { KeyUsage } from '../keys/key-usage.js';
import type { ServerMetrics } from '../metrics/server-metrics.js';
import type { GenerationRecord } from '../request-record.js';
import type { RequestTracer } from '../tracing/request-tracer.js';
import { closedBecause } from './in-flight.js';

/** Routes that monitoring requests every few seconds. */
const QUIET_ROUTES: ReadonlySet<string> = new Set(['/health', '/metrics']);

const CLIENT_CLOSED = 499;

/** Who hears of a request that has ended. */
export interface LogContext {
  readonly logger: Logger;
  readonly metrics: Pick<ServerMetrics, 'countHttp'>;
  readonly clock: Clock;
  /** Null: nothing is traced. */
  readonly tracer: RequestTracer | null;
  readonly endedRequests: {
    note(
      record: GenerationRecord,
      ended: { arrivedAt: number; now: number; status: number; failure: string | null },
    ): void;
  };
  /** Of keys. */
  readonly usage: Pick<KeyUsage, 'note'>;
}

/**
 * Counts, traces and logs a request when its response has left, or its connection has ended: one
 * line each. Hijacked replies pass here, too, which Fastify's own hook does not see. Keys are never
 * logged, and texts only with `--log-prompts`.
 */
export function logWhenDone(
  context: LogContext,
  request: FastifyRequest,
  reply: FastifyReply,
): void {
  reply.raw.once('close', () => {
    const { clock, metrics, logger, tracer, endedRequests, usage } = context;
    const left = !reply.raw.writableFinished;
    const status = left && !reply.raw.headersSent ? CLIENT_CLOSED : reply.raw.statusCode;
    const route = request.routeOptions.url ?? 'unknown';
    metrics.countHttp(request.method, route, status);
    const { generation, key, arrivedAt } = request;
    if (left) {
      if (generation) generation.finishReason = 'abort';
      request.failure ??= closedBecause(reply);
    }
    const now = clock.now();
    if (generation) {
      const failure = request.failure?.kind ?? null;
      endedRequests.note(generation, { arrivedAt, now, status, failure });
      if (key) usage.note(key.name, generation, failure !== null);
    }
    const traceId = tracer?.trace({ request, route, status, now }) ?? null;
    const line = {
      requestId: request.id,
      ...(traceId === null ? {} : { traceId }),
      method: request.method,
      route,
      status,
      ...(key && { key: fingerprintOf(key), ...(key.isNamed && { keyName: key.name }) }),
      totalMs: Math.round(now - arrivedAt),
      ...(generation === null ? {} : roundedTimes(generation)),
      ...(request.failure === null ? {} : { error: request.failure.kind }),
    };
    logger[QUIET_ROUTES.has(route) ? 'debug' : 'info'](line, 'request');
  });
}

function roundedTimes(record: GenerationRecord): GenerationRecord {
  const rounded = (ms: number | null): number | null => (ms === null ? null : Math.round(ms));
  return {
    ...record,
    queueMs: rounded(record.queueMs),
    prefillMs: rounded(record.prefillMs),
    ttftMs: rounded(record.ttftMs),
    generatedMs: rounded(record.generatedMs),
  };
}
