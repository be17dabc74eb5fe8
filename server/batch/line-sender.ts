import { AsyncLocalStorage } from 'node:async_hooks';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { OctavoError } from '../../engine/errors.js';
import { assertScope } from '../http/auth.js';
import type { ApiKey } from '../keys/api-key.js';
import type { KeyTable } from '../keys/key-table.js';
import type { BatchLine } from './batch-lines.js';
import type { LineAnswer } from './run-lines.js';

/**
 * After all others where the server's policy is `priority`: its blocks are the first to go, too.
 */
const LAST = 2 ** 31 - 1;

/** What a request of a batch has instead of headers and a connection. */
export interface BatchCaller {
  /** Null: no key is needed. */
  readonly key: ApiKey | null;
  /** Aborted: the request ends. */
  readonly signal: AbortSignal;
}

/** Not a header, so that no client can claim to be a batch. */
const callers = new AsyncLocalStorage<BatchCaller>();

/**
 * Marks a request that a batch has sent, and gives it its key.
 *
 * @returns false for a request of a client
 * @throws OctavoError `key_not_allowed`
 */
export function adoptBatchRequest(request: FastifyRequest, reply: FastifyReply): boolean {
  const caller = callers.getStore();
  if (caller === undefined) return false;
  request.isBatch = true;
  request.key = caller.key;
  const { signal } = caller;
  const leave = (): void => void reply.raw.destroy(signal.reason as Error);
  signal.addEventListener('abort', leave, { once: true });
  reply.raw.once('close', () => signal.removeEventListener('abort', leave));
  if (caller.key) assertScope(caller.key, request.routeOptions.url);
  return true;
}

/** @param owner the digest of the client's key, in hexadecimal; '' without keys */
export type SendLine = (owner: string, line: BatchLine, signal: AbortSignal) => Promise<LineAnswer>;

/**
 * Sends requests of batches through the same routes as those of clients.
 *
 * @returns a function that throws OctavoError `invalid_api_key` when the owner's key is none any
 *   more, and the signal's reason
 */
export function createLineSender(app: FastifyInstance, keys: KeyTable): SendLine {
  return async (owner, { url, body }, signal) => {
    const key = owner === '' ? null : keys.findDigest(owner);
    if (key === null && (owner !== '' || keys.isRequired)) {
      throw new OctavoError(
        'invalid_api_key',
        'the key that created the batch is not valid any more',
      );
    }
    signal.throwIfAborted();
    // Awaited within: the request begins when its promise is asked for.
    const response = await callers.run({ key, signal }, async () => {
      return await app.inject({
        method: 'POST',
        url,
        payload: { ...body, priority: LAST },
        remoteAddress: 'batch',
      });
    });
    return {
      status: response.statusCode,
      requestId: String(response.headers['x-request-id']),
      body: response.json<unknown>(),
    };
  };
}
