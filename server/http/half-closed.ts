import type { Server } from 'node:http';
import type { Socket } from 'node:net';
import type { Clock } from '../../engine/clock.js';
import type { Connections } from './connections.js';

/** How often a client that has closed its side is asked whether it is still there. */
const PROBE_MS = 2000;

/** The answer to a probe is seen by the next one only: the socket is not read any more. */
const SECOND_PROBE_MS = 50;

/** Emitted by responses whose headers are sent: to write something that means nothing. */
export const PROBE = 'octavo:probe';

/**
 * Lets a client close its side and still get its answer (`nc -N`). To the server that looks like a client that has left: only what is
 * sent to it tells them apart, because a client that has left answers with a reset. So an interim response (102, RFC 9110 section
 * 15.2) goes out while the answer has not begun. HTTP/1.0 has none: there, who closes has left.
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
  server.on('connection', (socket: Socket) =>
    socket.once('end', () => probe(socket, SECOND_PROBE_MS)),
  );
}
