import { METHODS, type ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import type { FastifyInstance } from 'fastify';
import { OctavoError } from '../../engine/errors.js';
import type { Connections } from './connections.js';
import { errorResponse } from './errors.js';
import { noRoute } from './known-routes.js';

/** A request line as in RFC 9112, at the beginning of what was received: method and path. */
const REQUEST_LINE = /^([!#$%&'*+.^_`|~0-9A-Za-z-]+) ([^\s?]+)\S* HTTP\/1\.[01]\r\n/;

/** Bytes that a request line is looked for in. */
const LONGEST_LINE = 8192;

/**
 * Answers what is not a valid request: bytes that are no HTTP, too many headers, a sender that
 * stopped in the middle. Then the connection ends. Earlier requests on the same connection get
 * their answers first.
 */
export class BrokenRequests {
  readonly #connections: Connections;
  readonly #methodsOf: (url: string) => readonly string[];
  readonly #broken = new WeakSet<Socket>();

  /** @param methodsOf what a path takes; none: there is no such path */
  constructor(connections: Connections, methodsOf: (url: string) => readonly string[]) {
    this.#connections = connections;
    this.#methodsOf = methodsOf;
  }

  /** To be called once, before the server listens. */
  watch(app: FastifyInstance): void {
    app.server.on('connect', (_request, socket: Socket) => {
      const error = new OctavoError('method_not_allowed', 'CONNECT: this is no proxy');
      this.#connections.end(socket, errorResponse(error));
    });
  }

  /** Fastify's `clientErrorHandler`. */
  readonly answer = (error: Error, socket: Socket): void => {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ECONNRESET' || !socket.writable) return void socket.destroy();
    // A handshake that has failed: nothing that is written could be read.
    if (!this.#connections.has(socket)) return void socket.destroy();
    // Anything that follows on a broken connection is ignored.
    if (this.#broken.has(socket)) return;
    this.#broken.add(socket);
    // A request that has not arrived whole is what is broken: this is its answer.
    const before = this.#connections.openOn(socket).filter(({ req }) => req.complete);
    void this.#answerAfter(before, socket, this.#answerTo(error));
  };

  async #answerAfter(
    before: readonly ServerResponse[],
    socket: Socket,
    answer: string,
  ): Promise<void> {
    await Promise.all(before.map(closed));
    this.#connections.end(socket, answer);
  }

  #answerTo(error: Error): string {
    const { code, rawPacket } = error as NodeJS.ErrnoException & { rawPacket?: Buffer };
    const line = rawPacket?.toString('latin1', 0, LONGEST_LINE) ?? '';
    const [, method, path] = (code === 'HPE_INVALID_METHOD' && REQUEST_LINE.exec(line)) || [];
    // What begins with a request that Node knows goes on with something that is none.
    if (method === undefined || path === undefined || METHODS.includes(method)) {
      return errorResponse(brokenRequest(code));
    }
    const methods = this.#methodsOf(path);
    const allow = methods.length === 0 ? {} : { allow: methods.join(', ') };
    return errorResponse(noRoute(method, path, methods), allow);
  }
}

const closed = (response: ServerResponse): Promise<void> =>
  new Promise((resolve) => response.once('close', resolve));

function brokenRequest(code: string | undefined): OctavoError {
  if (code === 'HPE_HEADER_OVERFLOW') {
    return new OctavoError('headers_too_large', 'the headers are too large');
  }
  if (code === 'ERR_HTTP_REQUEST_TIMEOUT') {
    return new OctavoError('request_timeout', 'the request did not arrive in time');
  }
  return new OctavoError('invalid_request', 'the request is not valid HTTP');
}
