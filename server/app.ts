import { type TypeBoxTypeProvider } from '@fastify/type-provider-typebox';
import { type FastifyInstance, fastify } from 'fastify';
import type { TSchema } from 'typebox';
import { OctavoError } from '../engine/errors.js';
import type { AppContext } from './app-context.js';
import { MessageForms } from './generation/message-form.js';
import { collectMethods } from './http/allowed-methods.js';
import { createKeyCheck } from './http/auth.js';
import { errorBody, sendError, toOctavoError } from './http/errors.js';
import { InFlight } from './http/in-flight.js';
import { requestId } from './http/request-id.js';
import { logWhenDone } from './http/request-log.js';
import { compileValidator } from './http/validation.js';
import { ServerMetrics } from './metrics.js';
import { addChatRoute } from './routes/chat-completions.js';
import { addCompletionsRoute } from './routes/completions.js';
import { addEmbeddingsRoute } from './routes/embeddings.js';
import { addModelRoutes } from './routes/models.js';
import { addOperationsRoutes } from './routes/operations.js';
import { addTokenizeRoutes } from './routes/tokenize.js';
import { clip } from './text/clip.js';

const BODY_LIMIT_BYTES = 10 * 1024 * 1024;

/** Errors in HTTP itself, before there is a request. */
const BAD_HTTP = JSON.stringify(
  errorBody(new OctavoError('invalid_request', 'the request is not valid HTTP')),
);

export type App = FastifyInstance;

export interface AppOptions
  extends Omit<AppContext, 'metrics' | 'messageForms' | 'inFlight' | 'createdAt'> {
  readonly bodyLimit?: number;
}

export interface BuiltApp {
  readonly app: App;
  readonly inFlight: InFlight;
  readonly messageForms: MessageForms;
}

/** Builds the HTTP side of a server; the caller listens, drains and closes. The engine stays the caller's. */
export function buildApp(options: AppOptions): BuiltApp {
  const { engine, model, clock, logger } = options;
  const metrics = new ServerMetrics({
    engine,
    modelName: model.names[0],
    clock,
    prefixCaching: options.settings.enablePrefixCaching,
  });
  const messageForms = new MessageForms(model, options.settings);
  const inFlight = new InFlight();
  const context: AppContext = {
    ...options,
    metrics,
    messageForms,
    inFlight,
    createdAt: clock.unixSeconds(),
  };
  const app = fastify({
    bodyLimit: options.bodyLimit ?? BODY_LIMIT_BYTES,
    genReqId: requestId,
    // While draining, a request still gets our own 503, and those in flight are finished.
    return503OnClosing: false,
    clientErrorHandler: (error, socket) => {
      if ((error as NodeJS.ErrnoException).code === 'ECONNRESET' || !socket.writable) return;
      socket.end(
        `HTTP/1.1 400 Bad Request\r\ncontent-type: application/json\r\nconnection: close\r\n` +
          `content-length: ${Buffer.byteLength(BAD_HTTP)}\r\n\r\n${BAD_HTTP}`,
      );
    },
    frameworkErrors: (error, _request, reply) => {
      sendError(reply, toOctavoError(error));
    },
  });
  app.removeContentTypeParser('text/plain');
  app.setValidatorCompiler(({ schema }) => compileValidator(schema as TSchema));

  const methodsOf = collectMethods(app);
  const checkKey = createKeyCheck(options.settings.apiKey);
  app.decorateRequest('arrivedAt', 0);
  app.decorateRequest('generation', null);
  app.addHook('onRequest', async (request, reply) => {
    request.arrivedAt = clock.now();
    reply.header('x-request-id', request.id);
    logWhenDone(context, request, reply);
    checkKey(request);
  });
  app.setErrorHandler((error, request, reply) => {
    const known = toOctavoError(error);
    if (known.entry.status === 500) {
      logger.error({ err: error, requestId: request.id }, 'request failed');
    }
    sendError(reply, known);
  });
  app.setNotFoundHandler((request, reply) => {
    const methods = methodsOf(request.url);
    const what = `${request.method} ${clip(request.url.split('?')[0] ?? '')}`;
    if (methods.length === 0) throw new OctavoError('route_not_found', `no such route: ${what}`);
    reply.header('allow', methods.join(', '));
    throw new OctavoError(
      'method_not_allowed',
      `${what} is not allowed; this route takes ${methods.join(', ')}`,
    );
  });

  const typed = app.withTypeProvider<TypeBoxTypeProvider>();
  addChatRoute(typed, context);
  addCompletionsRoute(typed, context);
  addEmbeddingsRoute(typed, context);
  addModelRoutes(typed, context);
  addTokenizeRoutes(typed, context);
  addOperationsRoutes(typed, context);
  return { app, inFlight, messageForms };
}
