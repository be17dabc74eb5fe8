import swagger from '@fastify/swagger';
import type { FastifyInstance, FastifySchema } from 'fastify';
import { packageVersion } from '../../engine/environment/package-root.js';
import type { KeyTable } from '../keys/key-table.js';
import { isGuardedRoute } from '../keys/scopes.js';
import type { Operation } from './operation.js';
import { OPERATIONS } from './operations.js';
import { ErrorSchema } from './schemas.js';

/**
 * Adds `/openapi.json`, which the page `/docs` shows. The document is put together when it is first
 * asked for, from the schemas that validate requests.
 *
 * Routes must be added in a plugin that is registered after this call: only those are seen.
 */
export function addApiDocs(
  app: FastifyInstance,
  { keys, mountPath }: { readonly keys: KeyTable; readonly mountPath: string },
): void {
  const hasKeys = keys.isRequired;
  void app.register(swagger, {
    openapi: {
      openapi: '3.1.0',
      info: {
        title: 'Octavo',
        description:
          "OpenAI's API, with vLLM's additions, Anthropic's messages, and Ollama's API. Fields that are unknown are ignored; those that are known and not supported are a 400.",
        version: packageVersion(),
        license: { name: 'Apache-2.0', identifier: 'Apache-2.0' },
      },
      ...(mountPath === '' ? {} : { servers: [{ url: mountPath }] }),
      ...(hasKeys
        ? {
            components: {
              securitySchemes: {
                key: { type: 'http', scheme: 'bearer', description: 'a key of the server' },
              },
            },
          }
        : {}),
    },
    transform: ({ schema, url, route }) => {
      // Pages, and the document itself.
      if (schema?.hide) return { schema, url };
      const name = `${String(route.method)} ${url}`;
      const operation = OPERATIONS[name];
      if (!operation) throw new Error(`OPERATIONS does not describe ${name}`);
      return {
        schema: {
          ...describe(schema ?? {}, operation, hasKeys && isGuardedRoute(url, keys.hasFile)),
          operationId: idOf(name),
        },
        url,
      };
    },
  });
  void app.register(async (scope) => {
    scope.get('/openapi.json', { schema: { hide: true } }, async () => scope.swagger());
  });
}

/** A route's own schemas, with what the document adds. */
function describe(schema: FastifySchema, operation: Operation, needsKey: boolean): FastifySchema {
  const { tag, summary, form, answer, event, line, error = ErrorSchema } = operation;
  const content = {
    ...(answer ? { 'application/json': { schema: answer } } : {}),
    ...(event ? { 'text/event-stream': { schema: event } } : {}),
    ...(line ? { 'application/x-ndjson': { schema: line } } : {}),
    ...(answer === null ? { 'text/plain': { schema: { type: 'string' } } } : {}),
  };
  return {
    ...schema,
    ...(form ? { body: form, consumes: ['multipart/form-data'] } : {}),
    tags: [tag],
    summary,
    security: needsKey ? [{ key: [] }] : [],
    response: {
      200: { description: 'done', content },
      default: {
        description: 'an error',
        content: { 'application/json': { schema: error } },
      },
    },
  };
}

/** `GET /v1/models/:id` becomes `getV1ModelsId`. */
function idOf(name: string): string {
  const words = name.split(/[^a-z\d]+/i).filter((word) => word !== '');
  const capitals = words.slice(1).map((word) => `${word[0]?.toUpperCase()}${word.slice(1)}`);
  return [words[0]?.toLowerCase(), ...capitals].join('');
}
