import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import type { Redis } from 'ioredis';
import type { Logger } from 'pino';
import type { TSchema } from 'typebox';
import { adapterSources } from '../engine/client/engine-options.js';
import type { Clock } from '../engine/clock.js';
import type { OctavoError } from '../engine/errors.js';
import { BatchSeats } from './batch/batch-seats.js';
import { batchSeatsOf, createBatches } from './batch/create-batches.js';
import { adoptBatchRequest } from './batch/line-sender.js';
import type { Settings } from './config/settings.js';
import { EndedRequests } from './dashboard/history.js';
import type { RequestHost } from './generation/run-in-flight.js';
import { speaksAnthropic } from './http/anthropic-errors.js';
import { createKeyCheck } from './http/auth.js';
import { BodyMemory } from './http/body-memory.js';
import { createCors } from './http/cors.js';
import { createFastify } from './http/create-fastify.js';
import { sendError, toOctavoError } from './http/errors.js';
import { InFlight } from './http/in-flight.js';
import { collectMethods, noRoute } from './http/known-routes.js';
import {
  answerExpectations,
  boundBodies,
  drainRefusedBody,
  readJsonBodies,
} from './http/request-bodies.js';
import { assertOneHost, assertPlainBody, createHostCheck } from './http/request-headers.js';
import { logWhenDone } from './http/request-log.js';
import type { TlsOptions } from './http/tls.js';
import { compileValidator } from './http/validation.js';
import { KeyTable } from './keys/key-table.js';
import { KeyUsage } from './keys/key-usage.js';
import type { KvEventSource } from './kv-events/zmq-publisher.js';
import { clientOf as clientOfRequest, tenantOf } from './limits/client.js';
import { createLimitTable } from './limits/create-admission.js';
import { OutputMemory } from './limits/output-memory.js';
import { ServerMetrics } from './metrics/server-metrics.js';
import { createModelService, type ModelParts } from './models.js';
import { addApiDocs } from './openapi/api-docs.js';
import { parseKeepAlive } from './pool/keep-alive.js';
import type { ModelSource } from './pool/model-source.js';
import { Models } from './pool/models.js';
import { PrefixPins } from './prefixes/prefix-pins.js';
import { addAdapterRoutes } from './routes/adapters.js';
import { addBatchAndFileRoutes } from './routes/batches.js';
import { addCachedPrefixRoutes } from './routes/cached-prefixes.js';
import { addChatRoute } from './routes/chat-completions.js';
import { addCompletionsRoute } from './routes/completions.js';
import { addDecisionRoutes } from './routes/decisions.js';
import { addEmbeddingsRoute } from './routes/embeddings.js';
import { addInfillRoute } from './routes/infill.js';
import { addLoadRoutes } from './routes/load.js';
import { addMessageRoutes } from './routes/messages.js';
import { addModelRoutes } from './routes/models.js';
import { addOllamaRoutes } from './routes/ollama.js';
import { addOllamaEmbedRoutes } from './routes/ollama-embed.js';
import { addOllamaModelRoutes } from './routes/ollama-models.js';
import { addOperationsRoutes } from './routes/operations.js';
import { addPageRoutes } from './routes/pages.js';
import { addRerankRoutes } from './routes/rerank.js';
import { addResponseRoutes } from './routes/responses.js';
import { addSleepRoutes } from './routes/sleep.js';
import { addTokenizeRoutes } from './routes/tokenize.js';
import { addUsageRoute } from './routes/usage.js';
import type { RequestTracer } from './tracing/request-tracer.js';

/** Bodies of the largest size that may be received at a time, in memory. */
const BODIES_AT_ONCE = 8;

export type App = FastifyInstance;

export interface AppOptions {
  /**
   * The first one answers requests that name none. Parts stay loaded, and are the caller's; what
   * has a source is loaded when it is asked for.
   */
  readonly models: readonly [ModelParts | ModelSource, ...(ModelParts | ModelSource)[]];
  /** Finds a model that is none of these by the name that a request has; absent: there is none. */
  readonly discover?: (name: string) => ModelSource | null;
  readonly settings: Settings;
  readonly logger: Logger;
  readonly clock: Clock;
  /** A new Uint32, for requests without a seed. */
  readonly randomSeed: () => number;
  /** Absent: those of the settings. */
  readonly keys?: KeyTable;
  /** Of keys; absent: from now on. */
  readonly usage?: KeyUsage;
  /** Null: HTTP; absent, too. */
  readonly tls?: TlsOptions | null;
  /** The caller closes it; absent for no tracing. */
  readonly tracer?: RequestTracer | null;
  /** Counts clients' budgets; null to count them in this process. The caller closes it. */
  readonly redis: Redis | null;
  /** Where the models' KV events are published; absent for nowhere. */
  readonly kvEvents?: KvEventSource | null;
  /**
   * Path prefix under which clients reach it through another server, such as `/llm`; requests
   * arrive without it.
   */
  readonly mountPath?: string;
}

export interface BuiltApp {
  readonly app: App;
  readonly inFlight: InFlight;
  readonly models: Models;
  /** Prefixes that stay cached. */
  readonly pins: PrefixPins;
}

/**
 * Builds the HTTP side of a server; the caller listens, drains and closes. The engines stay the
 * caller's.
 */
export function buildApp(options: AppOptions): BuiltApp {
  const { clock, logger, settings, randomSeed } = options;
  const { keys = new KeyTable(settings.apiKey), usage = new KeyUsage(() => clock.unixSeconds()) } =
    options;
  const mountPath = options.mountPath ?? settings.rootPath ?? '';
  const shared = {
    settings,
    limits: createLimitTable(settings, keys, options.redis),
    logger,
    clock,
    random: () => randomSeed() / 2 ** 32,
  };
  const models = new Models(options.models, {
    keepAlive: parseKeepAlive(settings.keepAlive) ?? Infinity,
    maxLoaded: settings.maxLoadedModels,
    maxBytes: settings.modelMemory ?? 0,
    maxWaiting: settings.maxQueuedRequests,
    maxWaitMs: settings.modelLoadTimeout * 1000,
    discover: options.discover ?? (() => null),
    adapters: adapterSources(settings.lora).map(({ name }) => name),
    serve: (parts) => createModelService(parts, shared),
    clock,
    logger,
  });
  const metrics = new ServerMetrics(
    models.all.map(({ name }) => name),
    settings.metricsPrefix,
  );
  models.listen(metrics);
  metrics.watchKeys(usage);
  const pins = new PrefixPins(models, clock, logger);
  const inFlight = new InFlight();
  const endedRequests = new EndedRequests();
  const clientOf = (request: FastifyRequest): string => clientOfRequest(request, keys.isRequired);
  const host: RequestHost = {
    clock,
    logger,
    inFlight,
    outputMemory: new OutputMemory({
      perStream: settings.maxUnreadOutput,
      total: settings.maxOutputMemory,
    }),
    batchSeats: new BatchSeats(settings.maxNumSeqs, batchSeatsOf(settings)),
    clientOf,
    shareOf: (request, { safety_identifier, user }) => {
      const client = clientOf(request);
      return { client, tenant: tenantOf(client, safety_identifier ?? user, settings.fairShareBy) };
    },
    randomSeed,
    requestTimeout: settings.requestTimeout,
    logPrompts: settings.logPrompts,
  };
  const ended = { logger, metrics, clock, tracer: options.tracer ?? null, endedRequests, usage };
  const { app, connections } = createFastify({
    settings,
    tls: options.tls ?? null,
    clock,
    onRefused: (error) => metrics.countRejection(error),
    methodsOf: (url) => methodsOf(url),
  });
  answerExpectations(app, settings.maxBodySize);
  app.removeContentTypeParser('text/plain');
  boundBodies(app, new BodyMemory(BODIES_AT_ONCE * settings.maxBodySize));
  readJsonBodies(app);
  app.setValidatorCompiler(({ schema }) => compileValidator(schema as TSchema));

  const methodsOf = collectMethods(app);
  const checkHost = createHostCheck(settings.uds ? '' : settings.host, settings.allowedHosts);
  const allowOrigin = createCors(settings.allowedOrigins);
  const checkKey = createKeyCheck(keys);
  app.decorateRequest('arrivedAt', 0);
  app.decorateRequest('generation', null);
  app.decorateRequest('failure', null);
  app.decorateRequest('key', null);
  app.decorateRequest('isBatch', false);
  app.addHook('onRequest', async (request, reply) => {
    if (connections.isEnded(request.raw.socket)) return reply.hijack();
    request.arrivedAt = clock.now();
    reply.header('x-request-id', request.id);
    if (speaksAnthropic(request)) reply.header('request-id', request.id);
    logWhenDone(ended, request, reply);
    if (adoptBatchRequest(request, reply)) return;
    connections.assertServed(request, reply);
    assertOneHost(request.raw);
    checkHost(request.headers.host);
    assertPlainBody(request.headers);
    if (allowOrigin(request, reply)) return reply.code(204).send();
    request.key = checkKey(request);
    // Before Fastify looks at the body, so that no body hides that there is no route for it.
    if (request.is404) throw unrouted(request, reply);
  });
  app.setErrorHandler((error, request, reply) => {
    const known = toOctavoError(error);
    request.failure = known;
    metrics.countRejection(known);
    if (known.kind === 'body_too_large') drainRefusedBody(request, reply);
    if (known.entry.status === 500) {
      logger.error({ err: error, requestId: request.id }, 'request failed');
    }
    sendError(reply, known);
  });
  const unrouted = (request: FastifyRequest, reply: FastifyReply): OctavoError => {
    const methods = methodsOf(request.url);
    if (methods.length > 0) reply.header('allow', methods.join(', '));
    return noRoute(request.method, request.url.split('?')[0] ?? '', methods);
  };

  const batches = createBatches(app, { settings, keys, inFlight, clock, logger });
  addApiDocs(app, { keys, mountPath });
  void app.register(async (scope) => {
    const routes = scope.withTypeProvider<TypeBoxTypeProvider>();
    await addBatchAndFileRoutes(routes, batches, inFlight, settings.maxBatchFileSize);
    addChatRoute(routes, models, host);
    addCompletionsRoute(routes, models, host);
    addDecisionRoutes(routes, models, host);
    addEmbeddingsRoute(routes, models, host);
    addInfillRoute(routes, models, host);
    addMessageRoutes(routes, models, host);
    addModelRoutes(routes, models, clock.unixSeconds());
    addOllamaRoutes(routes, models, host);
    addOllamaEmbedRoutes(routes, models, host);
    addOllamaModelRoutes(routes, models, host, settings.allowPull);
    addRerankRoutes(routes, models, host);
    addResponseRoutes(routes, models, host, settings);
    addTokenizeRoutes(routes, models, host.clientOf);
    addOperationsRoutes(routes, models, metrics, inFlight, pins);
    addSleepRoutes(routes, models);
    if (settings.allowRuntimeLoraUpdating) addAdapterRoutes(routes, models, logger);
    addCachedPrefixRoutes(routes, pins, inFlight, host.clientOf);
    addUsageRoute(routes, keys, usage);
    addLoadRoutes(routes, models, inFlight, options.kvEvents ?? null);
    const dashboard = { clock, models, metrics, endedRequests, inFlight };
    addPageRoutes(routes, dashboard, mountPath);
  });
  return { app, inFlight, models, pins };
}
