import type { Static, TSchema } from 'typebox';
import { Check } from 'typebox/value';
import { clip } from '../../engine/clip.js';
import { OctavoError } from '../../engine/errors.js';
import type { Endpoint } from '../config/endpoint-options.js';
import { ErrorSchema } from '../openapi/schemas.js';

// What commands ask of a running server. They are clients, as all others are.

export type Answer = { readonly value: unknown } | { readonly error: string };

/** The body of an answer. @throws OctavoError `endpoint_unusable` */
export async function askWell(endpoint: Endpoint, method: string, path: string): Promise<unknown> {
  const answer = await ask(endpoint, method, path);
  if ('error' in answer) throw unusable(endpoint, answer.error);
  return answer.value;
}

/** The body of an answer, or why the server refuses. */
export async function ask(
  endpoint: Endpoint,
  method: string,
  path: string,
  body?: object,
): Promise<Answer> {
  const { url, apiKey } = endpoint;
  let response: Response;
  let text: string;
  try {
    response = await fetch(url + path, {
      method,
      headers: {
        ...(body && { 'content-type': 'application/json' }),
        ...(apiKey !== null && { authorization: `Bearer ${apiKey}` }),
      },
      ...(body && { body: JSON.stringify(body) }),
    });
    text = await response.text();
  } catch (error) {
    const { cause, message } = error as Error & { cause?: NodeJS.ErrnoException };
    throw unusable(endpoint, `cannot be reached (${cause?.code ?? cause?.message ?? message})`);
  }
  const value = parse(text);
  if (response.ok) return { value };
  const told = Check(ErrorSchema, value) ? value.error.message : clip(text);
  return { error: `${response.status}: ${told}` };
}

/** @throws OctavoError `endpoint_unusable` when the body has another form */
export function expectForm<Schema extends TSchema>(
  value: unknown,
  schema: Schema,
  endpoint: Endpoint,
  path: string,
): Static<Schema> {
  if (Check(schema, value)) return value;
  throw unusable(endpoint, `does not answer ${path} as Octavo does`);
}

function unusable({ url }: Endpoint, problem: string): OctavoError {
  return new OctavoError('endpoint_unusable', `${url}: ${problem}`, { param: '--url' });
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return null;
  }
}
