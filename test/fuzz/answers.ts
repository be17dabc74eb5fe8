import { Compile } from 'typebox/compile';
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
    Record<string, { requestBody?: { content: Record<string, { schema: JsonSchema }> } }>
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

const ErrorBody = Compile(ErrorSchema);

/** Longer than anything that is bounded takes, also on a busy machine. */
const HANG_MS = 10_000;

/**
 * Sends a body and looks at the answer.
 *
 * @returns the status
 * @throws Error unless it is a whole 200, or a 4xx with our error body
 */
export async function post(url: string, body: string): Promise<number> {
  const response = await fetch(url, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body,
    signal: AbortSignal.timeout(HANG_MS),
  });
  const { status } = response;
  const answer = await response.text();
  const fail = (what: string): never => {
    throw new Error(`${url}: ${what}: ${answer.slice(0, 500)}`);
  };
  if (status === 200) {
    if (/"type":"server_error"|internal error/.test(answer)) fail('an error in a stream');
    return status;
  }
  if (status < 400 || status > 499) fail(`status ${status}`);
  const error: unknown = JSON.parse(answer);
  if (!ErrorBody.Check(error)) fail('not an error body');
  if (answer.length > 3000) fail('a long error');
  return status;
}
