import { connect } from 'node:net';
import { Compile } from 'typebox/compile';
import { AnthropicErrorSchema } from '../../server/openapi/message-answers.js';
import { OllamaErrorSchema } from '../../server/openapi/ollama-answers.js';
import { ErrorSchema } from '../../server/openapi/schemas.js';
import type { JsonSchema } from './schema-values.js';

/** A route that takes a body. */
export interface PostRoute {
  readonly path: string;
  /** null: nothing is expected in it. */
  readonly schema: JsonSchema | null;
}

interface OpenApi {
  readonly paths: Record<
    string,
    Record<
      string,
      {
        requestBody?: { content: Record<string, { schema: JsonSchema }> };
        parameters?: { in: string; name: string }[];
      }
    >
  >;
}

/** All routes of a server that take POST: a new one is found by its schema. */
export async function postRoutes(url: string): Promise<PostRoute[]> {
  const { paths } = (await (await fetch(`${url}/openapi.json`)).json()) as OpenApi;
  return Object.entries(paths).flatMap(([path, methods]) =>
    methods['post']
      ? [{ path, schema: methods['post'].requestBody?.content['application/json']?.schema ?? null }]
      : [],
  );
}

/** A request without a body. */
export interface Asked {
  readonly method: 'GET' | 'DELETE';
  /** With `{id}` in the place of a parameter, until it is filled in. */
  readonly path: string;
  /** Names that its query may have. */
  readonly query: readonly string[];
}

/** All routes of GET and DELETE that take no body. */
export async function queryRoutes(url: string): Promise<Asked[]> {
  const { paths } = (await (await fetch(`${url}/openapi.json`)).json()) as OpenApi;
  return Object.entries(paths).flatMap(([path, methods]) =>
    (['get', 'delete'] as const).flatMap((method) => {
      const operation = methods[method];
      if (!operation || operation.requestBody) return [];
      const query = (operation.parameters ?? []).filter((parameter) => parameter.in === 'query');
      return [
        {
          method: method === 'get' ? 'GET' : 'DELETE',
          path,
          query: query.map(({ name }) => name),
        } as const,
      ];
    }),
  );
}

/**
 * Sends a request as it stands: `fetch` would put a hostile path in order.
 *
 * @returns the status
 * @throws Error unless it is a 200, or a 4xx with our error body
 */
export async function ask(url: string, { method, path }: Asked): Promise<number> {
  const { hostname, port } = new URL(url);
  const socket = connect(Number(port), hostname).setTimeout(HANG_MS, () => socket.destroy());
  socket.write(
    `${method} ${path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n`,
    'latin1',
  );
  let text = '';
  for await (const piece of socket.setEncoding('utf8')) text += String(piece);
  const status = Number(/^HTTP\/1\.1 (\d+) /.exec(text)?.[1]);
  const fail = (what: string): never => {
    throw new Error(`${method} ${path.slice(0, 500)}: ${what}: ${text.slice(0, 500)}`);
  };
  if (status === 200) return status;
  if (!(status >= 400 && status <= 499)) fail('no answer, or one of another kind');
  const body = text.slice(text.indexOf('\r\n\r\n') + 4);
  if (!errorBodyOf(path).Check(JSON.parse(body))) fail('not an error body');
  if (text.length > 3000) fail('a long error');
  return status;
}

const ErrorBody = Compile(ErrorSchema);
const AnthropicErrorBody = Compile(AnthropicErrorSchema);
const OllamaErrorBody = Compile(OllamaErrorSchema);

/** What errors of a route are like. */
function errorBodyOf(path: string): { Check(value: unknown): boolean } {
  if (path.startsWith('/api/')) return OllamaErrorBody;
  return path.startsWith('/v1/messages') ? AnthropicErrorBody : ErrorBody;
}

/** Longer than anything that is bounded takes, also on a busy machine. */
const HANG_MS = 120_000;

/**
 * Sends a body and looks at the answer.
 *
 * @returns the status
 * @throws Error unless it is a whole 200, or a 4xx with our error body
 */
export async function post(url: string, body: string, hangMs = HANG_MS): Promise<number> {
  const response = await fetch(url, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body,
    signal: AbortSignal.timeout(hangMs),
  });
  const { status } = response;
  const answer = await response.text();
  const fail = (what: string): never => {
    throw new Error(`${url}: ${what}: ${answer.slice(0, 500)}`);
  };
  if (status === 200) {
    if (/"type":"(?:server_error|api_error)"|internal error/.test(answer))
      fail('an error in a stream');
    return status;
  }
  if (status < 400 || status > 499) fail(`status ${status}`);
  const error: unknown = JSON.parse(answer);
  if (!errorBodyOf(new URL(url).pathname).Check(error)) fail('not an error body');
  if (answer.length > 3000) fail('a long error');
  return status;
}
