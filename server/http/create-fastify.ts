import { type FastifyInstance, fastify } from 'fastify';
import type { Clock } from '../../engine/clock.js';
import type { OctavoError } from '../../engine/errors.js';
import type { Settings } from '../config/settings.js';
import { BrokenRequests } from './broken-requests.js';
import { Connections, serveHalfClosed } from './connections.js';
import { sendError, toOctavoError } from './errors.js';
import { requestId } from './request-headers.js';
import { withoutRoot } from './root-path.js';
import { boundHandshakes, type TlsOptions } from './tls.js';

/** Interval of the check for slow senders. */
const RECEIVE_CHECK_MS = 1000;

export interface HttpOptions {
  readonly settings: Settings;
  /** Null: HTTP. */
  readonly tls: TlsOptions | null;
  readonly clock: Clock;
  /** Called when a connection is refused before it has sent a request. */
  readonly onRefused: (error: OctavoError) => void;
  /** The methods that a path has; none: there is no such path. */
  readonly methodsOf: (url: string) => readonly string[];
}

/** Fastify with bounds for everything that clients can do below the level of requests. */
export function createFastify({ settings, tls, clock, onRefused, methodsOf }: HttpOptions): {
  readonly app: FastifyInstance;
  readonly connections: Connections;
} {
  const connections = new Connections({ limit: settings.maxConnections, clock, onRefused });
  const broken = new BrokenRequests(connections, methodsOf);
  const http = {
    headersTimeout: settings.receiveTimeout * 1000,
    connectionsCheckingInterval: RECEIVE_CHECK_MS,
    // Node's own response to a request without a Host header has no body.
    requireHostHeader: false,
  };
  const options = {
    bodyLimit: settings.maxBodySize,
    genReqId: requestId,
    // While draining, new requests get our own 503, and running ones are finished.
    return503OnClosing: false,
    clientErrorHandler: broken.answer,
    connectionTimeout: settings.unreadTimeout * 1000,
    requestTimeout: settings.receiveTimeout * 1000,
    ...(settings.rootPath !== undefined && { rewriteUrl: withoutRoot(settings.rootPath) }),
    frameworkErrors: (error: Error, _request: unknown, reply: Parameters<typeof sendError>[0]) => {
      sendError(reply, toOctavoError(error));
    },
  };
  // A server of HTTPS has all that one of HTTP has, which the types do not say.
  const app = tls
    ? (fastify({ ...options, https: { ...http, ...tls } }) as unknown as FastifyInstance)
    : fastify({ ...options, http });
  if (tls) boundHandshakes(app.server);
  connections.watch(app.server);
  serveHalfClosed(app.server, connections, clock);
  broken.watch(app);
  return { app, connections };
}
