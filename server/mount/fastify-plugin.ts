import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import type { Logger } from 'pino';
import { errorBody, toOctavoError } from '../http/errors.js';
import { MountedServer, type MountOptions } from './mounted-server.js';

export interface OctavoPluginOptions extends MountOptions {
  /** Fastify's own: where the API is, such as `/llm`. */
  readonly prefix?: string;
}

/**
 * A Fastify plugin: the whole API and its pages beside the routes of another server.
 *
 *     app.register(octavo, { prefix: '/llm' });
 *
 * Octavo's routes live in a Fastify of their own, to which requests are handed as they came. So neither side sees the other's parsers,
 * validators, decorators, error handlers or documentation; the other's `onRequest` hooks run before, and may refuse.
 *
 * The model is loaded meanwhile: until then requests are answered with 503. To know earlier that it cannot be served, make the engine
 * yourself (`await createEngine(...)`) and give that.
 */
export async function octavo(app: FastifyInstance, options: OctavoPluginOptions): Promise<void> {
  const { prefix: _fastifysOwn, ...given } = options;
  const mountPath = app.prefix.replace(/\/$/, '');
  const server = new MountedServer(given, mountPath, app.log as Logger);
  // Bodies are left in the socket: who answers reads them.
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
    const known = toOctavoError(error);
    const { status } = known.entry;
    if (status === 503) void reply.header('retry-after', '1');
    void reply.code(status).send(errorBody(known));
    return;
  }
  const { raw } = request;
  reply.hijack();
  // What hooks have set so far, such as CORS.
  for (const [name, value] of Object.entries(reply.getHeaders())) {
    if (value !== undefined) reply.raw.setHeader(name, value);
  }
  const outside = raw.url ?? '/';
  raw.url = within(outside, mountPath);
  // The other server's log is to show what its client asked for.
  const restore = (): void => {
    raw.url = outside;
  };
  reply.raw.prependOnceListener('finish', restore);
  reply.raw.prependOnceListener('close', restore);
  inner.routing(raw, reply.raw);
}

/** An address without the path that it is mounted at. */
export function within(url: string, mountPath: string): string {
  if (!url.startsWith(mountPath)) return url;
  const rest = url.slice(mountPath.length);
  return rest.startsWith('/') ? rest : `/${rest}`;
}
