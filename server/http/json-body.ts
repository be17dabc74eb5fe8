import type { FastifyInstance, FastifyRequest } from 'fastify';
import { OctavoError } from '../../engine/errors.js';

/**
 * Reads bodies as Fastify does, but for two things: a route that takes no body may be sent none, whatever the content type says (the
 * official Python client sends one with every DELETE), and a key that JavaScript's objects do not bear is named.
 */
export function readJsonBodies(app: FastifyInstance): void {
  const parse = app.getDefaultJsonParser('error', 'error');
  app.removeContentTypeParser('application/json');
  app.addContentTypeParser('application/json', { parseAs: 'string' }, (request, body, done) => {
    if (body === '' && !takesBody(request)) {
      done(null, undefined);
      return;
    }
    void parse(request, body as string, (error, value) => {
      done(error === null ? null : (forbiddenKey(body as string) ?? error), value);
    });
  });
}

const takesBody = ({ routeOptions }: FastifyRequest): boolean =>
  routeOptions.schema?.body !== undefined;

/** Null for a text that is no JSON at all. */
function forbiddenKey(body: string): OctavoError | null {
  let found: string | null = null;
  try {
    JSON.parse(body, (key, value: unknown) => {
      const isPoison = key === 'constructor' && typeof value === 'object' && value !== null;
      if (key === '__proto__' || (isPoison && Object.hasOwn(value, 'prototype'))) found ??= key;
      return value;
    });
  } catch {
    return null;
  }
  return found === null
    ? null
    : new OctavoError(
        'invalid_request',
        `the body has a key ${String(found)}, which is not allowed`,
      );
}
