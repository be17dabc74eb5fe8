import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { Server as TlsServer } from 'node:tls';
import type { FastifyReply, FastifyRequest } from 'fastify';
import type { Clock } from '../../engine/clock.js';
import { OctavoError } from '../../engine/errors.js';
import { errorResponse } from './errors.js';

/** Connections beyond the limit, for monitoring. */
const RESERVE = 64;

/** What the reserve answers. */
const RESERVED_ROUTES: ReadonlySet<string> = new Set(['/health', '/metrics']);

/** Milliseconds of silence after which a connection may be closed for a newer one. */
const IDLE_MS = 1000;

/** Time for a client to read the last answer and to close its side. */
const LINGER_MS = 2000;

/** Maximum number of ended connections that wait to be closed. */
const MOST_LINGERING = 256;

interface Connection {
  /** Requests whose answers are not sent yet. */
  readonly open: Set<ServerResponse>;
  /** Since the beginning. */
  requests: number;
}

export interface ConnectionsOptions {
  readonly limit: number;
  readonly clock: Clock;
  /** Called when a connection is refused before it has sent a request. */
  readonly onRefused: (error: OctavoError) => void;
}

/**
 * The server's connections: limits their number, and makes sure that each is closed.
 *
 *     within the limit | everything is served; when all are taken, the one that has been
 *                        silent longest makes room
 *     reserve (64)     | /health and /metrics are served, all else is refused with 503
 *     ended (256)      | got their last answer; closed when the client closes, or after two seconds
 *
 * So neither silent nor busy clients keep other clients, or monitoring, from the server. (Node's
 * own `maxConnections` would close connections without an answer, which clients see as a network
 * error.)
 */
export class Connections {
  readonly #options: ConnectionsOptions;
  readonly #all = new Map<Socket, Connection>();
  /** Without a request, the longest first: since when. */
  readonly #idle = new Map<Socket, number>();
  /** In the order in which they came. */
  readonly #reserve = new Set<Socket>();
  readonly #ended = new Set<Socket>();

  constructor(options: ConnectionsOptions) {
    this.#options = options;
  }

  /** To be called once, before the server listens. */
  watch(server: Server): void {
    server.on(connectionEvent(server), (socket: Socket) => this.#accept(socket));
    const begin = (request: IncomingMessage, response: ServerResponse): void =>
      this.#begin(request.socket, response);
    server.prependListener('request', begin);
    // Node restarts its timer whenever the socket transfers bytes; it fires after the server's
    // `timeout` without any.
    server.on('timeout', (socket: Socket) => this.#silent(socket));
  }

  /** Whether it is one of the server's: an encrypted one is none before its handshake is done. */
  has(socket: Socket): boolean {
    return this.#all.has(socket);
  }

  /** Requests of a connection whose answers are not sent yet, in order. */
  openOn(socket: Socket): readonly ServerResponse[] {
    return [...(this.#all.get(socket)?.open ?? [])];
  }

  /** Whether the connection has had its last answer; later bytes on it are no request. */
  isEnded(socket: Socket): boolean {
    return this.#ended.has(socket);
  }

  /**
   * Refuses what the reserve does not answer. A connection of the reserve ends with its answer.
   *
   * @throws OctavoError `overloaded`
   */
  assertServed(request: FastifyRequest, reply: FastifyReply): void {
    if (!this.#reserve.has(request.raw.socket)) return;
    reply.header('connection', 'close');
    if (!RESERVED_ROUTES.has(request.routeOptions.url ?? '')) throw this.#overloaded();
  }

  /** Ends a connection after a last text. It is closed soon, whatever the client does. */
  end(socket: Socket, text?: string): void {
    if (this.#ended.has(socket)) return;
    if (!socket.writable) return void socket.destroy();
    this.#leave(socket);
    this.#ended.add(socket);
    // A socket that HTTP has detached (CONNECT) has no other listener.
    socket.on('error', () => undefined);
    if (text === undefined) socket.end();
    else socket.end(text);
    // If it were closed at once, with unread bytes of the client, the answer would be lost.
    socket.resume();
    const timer = this.#options.clock.startTimer(() => socket.destroy(), LINGER_MS);
    socket.once('close', () => timer.cancel());
    const [oldest] = this.#ended;
    if (this.#ended.size > MOST_LINGERING) oldest.destroy();
  }

  #accept(socket: Socket): void {
    socket.once('close', () => {
      this.#leave(socket);
      this.#ended.delete(socket);
      this.#all.delete(socket);
    });
    this.#all.set(socket, { open: new Set(), requests: 0 });
    if (this.#numRegular > this.#options.limit && !this.#makeRoom()) this.#admitToReserve(socket);
    if (!this.#ended.has(socket)) this.#idle.set(socket, this.#options.clock.now());
  }

  get #numRegular(): number {
    return this.#all.size - this.#reserve.size - this.#ended.size;
  }

  /** @returns whether a silent connection has been ended for a new one */
  #makeRoom(): boolean {
    for (const [socket, since] of this.#idle) {
      if (this.#options.clock.now() - since < IDLE_MS) return false;
      if (this.#reserve.has(socket)) continue;
      this.#evict(socket);
      return true;
    }
    return false;
  }

  #admitToReserve(socket: Socket): void {
    if (this.#reserve.size >= RESERVE) {
      const silent = [...this.#reserve].find((reserved) => this.#idle.has(reserved));
      // When all of the reserve is busy, the new connection is refused.
      if (!silent) return this.#evict(socket);
      this.#evict(silent);
    }
    this.#reserve.add(socket);
  }

  /**
   * Prefers a connection that has been served: its client expects connections to end. A new
   * connection would get an answer before its request.
   */
  #evict(socket: Socket): void {
    const isNew = this.#all.get(socket)?.requests === 0;
    if (!isNew) return this.end(socket);
    const error = this.#overloaded();
    this.#options.onRefused(error);
    this.end(socket, errorResponse(error));
  }

  #begin(socket: Socket, response: ServerResponse): void {
    const connection = this.#all.get(socket);
    if (!connection || this.#ended.has(socket)) return;
    connection.requests += 1;
    connection.open.add(response);
    this.#idle.delete(socket);
    response.once('close', () => {
      connection.open.delete(response);
      const isIdle = connection.open.size === 0 && !socket.destroyed && !this.#ended.has(socket);
      if (isIdle) this.#idle.set(socket, this.#options.clock.now());
    });
  }

  /** Frees the connection's place, which the first of the reserve gets. */
  #leave(socket: Socket): void {
    this.#idle.delete(socket);
    if (this.#reserve.delete(socket) || this.#ended.has(socket)) return;
    const [first] = this.#reserve;
    if (first) this.#reserve.delete(first);
  }

  /** Nothing has gone over the connection for the server's timeout. */
  #silent(socket: Socket): void {
    const connection = this.#all.get(socket);
    if (socket.writableLength > 0) {
      const message = 'the client has read nothing for too long';
      socket.destroy(new OctavoError('output_unread', message));
    } else if (connection && connection.requests > 0 && connection.open.size === 0) {
      // Kept alive for a next request that has not come.
      socket.destroy();
    }
  }

  #overloaded(): OctavoError {
    const message = `the server is overloaded: it has ${this.#options.limit} open connections, which is all it takes`;
    return new OctavoError('overloaded', message);
  }
}

/** The event by which a server tells of a connection that can send requests. */
const connectionEvent = (server: Server): 'connection' | 'secureConnection' =>
  server instanceof TlsServer ? 'secureConnection' : 'connection';

/** Interval at which a client that has closed its side is probed. */
const PROBE_MS = 2000;

/** The result of a probe shows only at the next write, because the socket is not read any more. */
const SECOND_PROBE_MS = 50;

/** Emitted on responses whose headers are sent, to write bytes without meaning. */
export const PROBE = 'octavo:probe';

/**
 * Lets a client close its side and still get its answer (`nc -N`). To the server that looks like a
 * client that has left: only what is sent to it tells them apart, because a client that has left
 * answers with a reset. So an interim response (102, RFC 9110 section 15.2) goes out while the
 * answer has not begun. HTTP/1.0 has none: there, a client that closes its side counts as gone.
 */
export function serveHalfClosed(server: Server, connections: Connections, clock: Clock): void {
  // Node knows it, and TypeScript does not.
  Object.assign(server, { httpAllowHalfOpen: true });
  const probe = (socket: Socket, nextMs: number): void => {
    const [response] = connections.openOn(socket);
    if (!response || socket.destroyed) return;
    if (response.req.httpVersion === '1.0') return void socket.destroy();
    if (response.headersSent) response.emit(PROBE);
    else response.writeProcessing();
    const timer = clock.startTimer(() => probe(socket, PROBE_MS), nextMs);
    socket.once('close', () => timer.cancel());
  };
  server.on(connectionEvent(server), (socket: Socket) =>
    socket.once('end', () => probe(socket, SECOND_PROBE_MS)),
  );
}
