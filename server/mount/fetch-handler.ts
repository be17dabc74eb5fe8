import { AsyncLocalStorage } from 'node:async_hooks';
import type { ServerResponse } from 'node:http';
import { Readable } from 'node:stream';
import type { InjectOptions } from 'fastify';
import { OctavoEngine } from '../../engine/library/octavo-engine.js';
import type { App } from '../app.js';
import { within } from '../http/root-path.js';
import { MountedServer, type MountOptions } from './mounted-server.js';

export interface FetchHandlerOptions extends MountOptions {
  /** Path of the API, such as `/llm`, which is removed from addresses. */
  readonly prefix?: string;
}

/** Answers web-standard requests with the whole API. */
export interface FetchHandler {
  (request: Request): Promise<Response>;
  /** Loads the model now, instead of at the first request. */
  ready(): Promise<void>;
  /** Lets running requests finish, and closes an engine that the handler created. */
  close(): Promise<void>;
}

/** The response of the request at work: a client that leaves ends it. */
const responses = new AsyncLocalStorage<{ response: ServerResponse | null }>();

const BODYLESS: ReadonlySet<number> = new Set([101, 204, 205, 304]);

/** Headers of one connection, which is not the one to the client. */
const OF_CONNECTION: ReadonlySet<string> = new Set([
  'connection',
  'keep-alive',
  'transfer-encoding',
]);

/**
 * The API as a function of requests, for routers of the web's own interface (Hono, Next.js, ...):
 * answers stream, and an aborted request, or one whose answer is cancelled, ends its work. The
 * model is loaded with the first request, which waits for it.
 *
 * @throws OctavoError, from each request: `invalid_request` for options that are not allowed; what
 *   keeps the model from being loaded
 */
export function createFetchHandler(given: OctavoEngine | FetchHandlerOptions = {}): FetchHandler {
  const options = given instanceof OctavoEngine ? { engine: given } : given;
  const { prefix = '', ...mount }: FetchHandlerOptions = options;
  const mountPath = prefix.replace(/\/$/, '');
  let server: MountedServer | null = null;
  let isClosed = false;
  const start = async (): Promise<MountedServer> => {
    if (isClosed) throw new Error('the handler is closed');
    server ??= new MountedServer(mount, mountPath, null, noteResponses);
    await server.ready;
    return server;
  };
  const handle = async (request: Request): Promise<Response> =>
    answer(await start(), request, mountPath);
  return Object.assign(handle, {
    ready: async () => void (await start()),
    close: async () => {
      isClosed = true;
      await server?.close();
    },
  });
}

function noteResponses(app: App): void {
  app.addHook('onRequest', async (_request, reply) => {
    const store = responses.getStore();
    if (store) store.response = reply.raw;
  });
}

/** The body, or enough of one that is too large for it to be refused. */
async function readBody(request: Request, limit: number): Promise<Buffer | null> {
  if (!request.body) return null;
  const chunks: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of request.body as unknown as AsyncIterable<Uint8Array>) {
    chunks.push(chunk);
    length += chunk.byteLength;
    if (length > limit) break;
  }
  return Buffer.concat(chunks);
}

async function answer(
  { app, maxBodySize }: MountedServer,
  request: Request,
  mountPath: string,
): Promise<Response> {
  const { signal } = request;
  signal.throwIfAborted();
  const work: { response: ServerResponse | null } = { response: null };
  const leave = (): void => void work.response?.destroy();
  signal.addEventListener('abort', leave, { once: true });
  const { pathname, search, host } = new URL(request.url);
  const headers = Object.fromEntries(request.headers);
  headers['host'] ??= host;
  const options: InjectOptions & { payloadAsStream: true } = {
    method: request.method,
    url: within(pathname, mountPath) + search,
    headers,
    payloadAsStream: true,
  };
  const payload = await readBody(request, maxBodySize);
  signal.throwIfAborted();
  if (payload) options.payload = payload;
  try {
    // Awaited inside: what `inject` gives begins when it is first waited for.
    const result = await responses.run(work, async () => await app.inject(options));
    const body = result.stream();
    body.once('close', () => {
      signal.removeEventListener('abort', leave);
      // Read to its end, or cancelled.
      leave();
    });
    return toResponse(result, body, request.method);
  } catch (error) {
    signal.removeEventListener('abort', leave);
    signal.throwIfAborted();
    throw error;
  }
}

function toResponse(
  {
    statusCode,
    headers: given,
  }: { statusCode: number; headers: Record<string, string | string[] | number | undefined> },
  body: Readable,
  method: string,
): Response {
  const headers = new Headers();
  for (const [name, value] of Object.entries(given)) {
    if (value === undefined || OF_CONNECTION.has(name)) continue;
    for (const item of [value].flat()) headers.append(name, String(item));
  }
  if (method === 'HEAD' || BODYLESS.has(statusCode)) {
    body.resume();
    return new Response(null, { status: statusCode, headers });
  }
  const stream = Readable.toWeb(body) as unknown as ReadableStream<Uint8Array>;
  return new Response(stream, { status: statusCode, headers });
}
