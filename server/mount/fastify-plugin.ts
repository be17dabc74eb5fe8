import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import type { Logger } from 'pino';
import { sendError, toOctavoError } from '../http/errors.js';
import { within } from '../http/root-path.js';
import { MountedServer, type MountOptions } from './mounted-server.js';

export interface OctavoPluginOptions extends MountOptions {
  /** Fastify's own option: path of the API, such as `/llm`. */
  readonly prefix?: string;
}

/**
 * A Fastify plugin: the whole API and its pages next to the routes of another server.
 *
 *     app.register(octavo, { prefix: '/llm' });
 *
 * Octavo's routes are in a separate Fastify instance, which receives the requests unchanged. So
 * neither side has the other's parsers, validators, decorators, error handlers or documentation.
 * The other server's `onRequest` hooks run first, and may refuse a request.
 *
 * While the model is loaded, requests are answered with 503. To find out first whether it can be
 * served, create the engine yourself (`await createEngine(...)`) and pass it.
 */
export async function octavo(app: FastifyInstance, options: OctavoPluginOptions): Promise<void> {
  const { prefix: _fastifysOwn, ...given } = options;
  const mountPath = app.prefix.replace(/\/$/, '');
  const server = new MountedServer(given, mountPath, app.log as Logger);
  // Bodies stay in the socket for Octavo's instance to read.
  app.removeAllContentTypeParsers();
  app.addContentTypeParser('*', (_request, _payload, done) => done(null));
  const handle = (request: FastifyRequest, reply: FastifyReply): void => {
    pass(server, mountPath, request, reply);
  };
  const route = { method: app.supportedMethods, exposeHeadRoute: false, handler: handle };
  app.route({ ...route, url: '/', schema: { hide: true } });
  app.route({ ...route, url: '/*', schema: { hide: true } });
  app.addHook('preClose', () => server.close());
}

function pass(
  server: MountedServer,
  mountPath: string,
  request: FastifyRequest,
  reply: FastifyReply,
): void {
  let inner: MountedServer['app'];
  try {
    inner = server.app;
  } catch (error) {
    sendError(reply, toOctavoError(error));
    return;
  }
  const { raw } = request;
  reply.hijack();
  // Headers that hooks have set so far, such as CORS.
  for (const [name, value] of Object.entries(reply.getHeaders())) {
    if (value !== undefined) reply.raw.setHeader(name, value);
  }
  const outside = raw.url ?? '/';
  raw.url = within(outside, mountPath);
  // The other server's log must show the original address.
  const restore = (): void => {
    raw.url = outside;
  };
  reply.raw.prependOnceListener('finish', restore);
  reply.raw.prependOnceListener('close', restore);
  inner.routing(raw, reply.raw);
}
