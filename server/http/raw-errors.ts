import type { ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import type { FastifyInstance } from 'fastify';
import { OctavoError } from '../../engine/errors.js';
import { errorBody } from './errors.js';

const REASONS: Readonly<Record<number, string>> = {
  400: 'Bad Request',
  405: 'Method Not Allowed',
  408: 'Request Timeout',
  431: 'Request Header Fields Too Large',
};

/**
 * Answers what is not a request: bytes that are no HTTP, too many headers, a sender that stopped in the middle. Then the connection
 * ends. What was asked before on the same connection gets its answers first.
 */
export class BrokenRequests {
  /** Answers that are not written yet, by connection. */
  readonly #open = new WeakMap<Socket, Set<ServerResponse>>();
  readonly #broken = new WeakSet<Socket>();

  /** To be called once, before the server listens. */
  watch(app: FastifyInstance): void {
    app.server.on('request', ({ socket }, response) => {
      const open = this.#open.get(socket) ?? new Set();
      this.#open.set(socket, open.add(response));
      response.once('close', () => open.delete(response));
    });
    app.server.on('connect', (_request, socket: Socket) => {
      writeError(socket, new OctavoError('method_not_allowed', 'CONNECT: this is no proxy'));
    });
  }

  /** Fastify's `clientErrorHandler`. */
  readonly answer = (error: Error, socket: Socket): void => {
    const { code } = error as NodeJS.ErrnoException;
    // What follows on a broken connection is no request either.
    if (code === 'ECONNRESET' || !socket.writable || this.#broken.has(socket)) return;
    this.#broken.add(socket);
    // A request that has not arrived whole is what is broken: this is its answer.
    const before = [...(this.#open.get(socket) ?? [])].filter(({ req }) => req.complete);
    void this.#answerAfter(before, socket, brokenRequest(code));
  };

  async #answerAfter(
    before: readonly ServerResponse[],
    socket: Socket,
    error: OctavoError,
  ): Promise<void> {
    await Promise.all(before.map(closed));
    writeError(socket, error);
  }
}

const closed = (response: ServerResponse): Promise<void> =>
  new Promise((resolve) => response.once('close', resolve));

function writeError(socket: Socket, error: OctavoError): void {
  if (!socket.writable) return;
  const { status } = error.entry;
  const body = JSON.stringify(errorBody(error));
  socket.end(
    `HTTP/1.1 ${status} ${REASONS[status]}\r\ncontent-type: application/json\r\nconnection: close\r\n` +
      `content-length: ${Buffer.byteLength(body)}\r\n\r\n${body}`,
  );
}

function brokenRequest(code: string | undefined): OctavoError {
  if (code === 'HPE_HEADER_OVERFLOW') {
    return new OctavoError('headers_too_large', 'the headers are too large');
  }
  if (code === 'ERR_HTTP_REQUEST_TIMEOUT') {
    return new OctavoError('request_timeout', 'the request did not arrive in time');
  }
  return new OctavoError('invalid_request', 'the request is not valid HTTP');
}
