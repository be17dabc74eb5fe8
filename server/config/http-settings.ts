import { getHeapStatistics } from 'node:v8';
import { Type } from 'typebox';
import { extra, size } from '../../engine/setting-schema.js';
import { BATCH_SETTINGS } from './batch-settings.js';

/** Settings of the HTTP server: where it listens, whom it lets in, what it holds for clients. */
export const HTTP_SETTINGS = {
  host: Type.String({
    ...extra({
      description: 'address to listen on',
      group: 'HTTP',
      scope: 'server',
      value: 'address',
    }),
    minLength: 1,
    default: '127.0.0.1',
  }),
  port: Type.Integer({
    ...extra({
      description: 'port to listen on; 0 takes a free one',
      group: 'HTTP',
      scope: 'server',
    }),
    minimum: 0,
    maximum: 65_535,
    default: 8000,
  }),
  apiKey: Type.Array(Type.String({ minLength: 1 }), {
    ...extra({
      description:
        'key that clients must send, as a bearer token or x-api-key, repeatable (default: none)',
      group: 'HTTP',
      scope: 'server',
      value: 'key',
    }),
    default: [],
  }),
  apiKeyFile: Type.Optional(
    Type.String({
      ...extra({
        description: 'file with such keys, one a line: out of the process list (default: none)',
        group: 'HTTP',
        scope: 'server',
        value: 'file',
      }),
      minLength: 1,
    }),
  ),
  allowedHosts: Type.Array(Type.String({ minLength: 1 }), {
    ...extra({
      description:
        'name that clients may reach the server by, repeatable; *.name: all below, *: any (default: localhost and the like on a loopback --host, else any)',
      group: 'HTTP',
      scope: 'server',
      value: 'name',
    }),
    default: [],
  }),
  maxConnections: Type.Integer({
    ...extra({
      description: 'open connections; more are answered with 503, except for /health and /metrics',
      group: 'HTTP',
      scope: 'server',
    }),
    minimum: 1,
    maximum: 1_048_576,
    default: 4096,
  }),
  maxBodySize: Type.Integer({
    ...extra({
      description: "size of a request's body, at most: 10MiB, or bytes (default: 10MiB)",
      group: 'HTTP',
      scope: 'server',
      value: 'size',
      unit: 'bytes',
    }),
    minimum: 1,
    maximum: 2 ** 30,
    default: 10 * 2 ** 20,
  }),
  receiveTimeout: Type.Number({
    ...extra({
      description: 'seconds that a client may take to send its request',
      group: 'HTTP',
      scope: 'server',
    }),
    minimum: 1,
    maximum: 3600,
    default: 60,
  }),
  unreadTimeout: Type.Number({
    ...extra({
      description: 'seconds that a client may read nothing of what is sent to it',
      group: 'HTTP',
      scope: 'server',
    }),
    minimum: 1,
    maximum: 3600,
    default: 60,
  }),
  maxUnreadOutput: size(
    {
      description: 'output of a stream that waits for its client, then it pauses (default: 1MiB)',
      group: 'HTTP',
      scope: 'server',
    },
    2 ** 20,
  ),
  maxOutputMemory: size(
    {
      description:
        'output of all requests on its way to clients (default: a quarter of the heap, 256MiB at most)',
      group: 'HTTP',
      scope: 'server',
    },
    Math.min(256 * 2 ** 20, Math.floor(getHeapStatistics().heap_size_limit / 4)),
  ),
  shutdownTimeout: Type.Number({
    ...extra({
      description: 'seconds that running requests get to finish after SIGTERM',
      group: 'HTTP',
      scope: 'server',
    }),
    minimum: 0,
    maximum: 86_400,
    default: 30,
  }),
  maxStoredResponses: Type.Integer({
    ...extra({
      description: '/v1/responses: answers kept for previous_response_id; 0 keeps none',
      group: 'HTTP',
      scope: 'server',
    }),
    minimum: 0,
    maximum: 1_000_000,
    default: 1000,
  }),
  storedResponsesMemory: size(
    {
      description: 'memory of the answers that are kept (default: 64MiB)',
      group: 'HTTP',
      scope: 'server',
    },
    64 * 2 ** 20,
  ),
  ...BATCH_SETTINGS,
};
