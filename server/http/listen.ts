import { once } from 'node:events';
import { lstatSync, unlinkSync } from 'node:fs';
import { createServer, type RequestListener, type Server } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import { type AddressInfo, connect } from 'node:net';
import { clip } from '../../engine/clip.js';
import { OctavoError } from '../../engine/errors.js';
import { errorAnswer } from './errors.js';
import { requestId } from './request-headers.js';
import type { TlsOptions } from './tls.js';

/** Bytes of a Unix socket's path on all systems (macOS has the fewest). */
const LONGEST_PATH = 103;

/** Where a server takes connections. */
export interface Door {
  readonly host: string;
  readonly port: number;
  /** Path of a Unix socket, instead of host and port; null for none. */
  readonly uds: string | null;
  /** Null: HTTP. */
  readonly tls: TlsOptions | null;
}

/** Holds the door while the model is loaded. */
export interface LoadingServer {
  /** The port; with port 0, the one that the system assigned. */
  readonly port: number;
  /** Frees the port. Idempotent. */
  close(): Promise<void>;
}

/**
 * Answers every request with 503 until the server itself takes over, so that probes of `/health`
 * get 503 instead of a refused connection, and a port in use is reported before the model is
 * loaded.
 *
 * @throws OctavoError `port_in_use`; `usage` when the address cannot be used
 */
export async function startLoadingServer(door: Door): Promise<LoadingServer> {
  const { host, port, uds, tls } = door;
  const error = new OctavoError('loading', 'the model is being loaded');
  const answer: RequestListener = (request, response) => {
    const { url = '', headers } = request;
    const { status, body } = errorAnswer({ url, headers, id: requestId(request) }, error);
    response.writeHead(status, {
      'content-type': 'application/json; charset=utf-8',
      'retry-after': '1',
      // The client's next request must reach the server that follows this one.
      connection: 'close',
    });
    response.end(JSON.stringify(body));
  };
  const server: Server = tls ? createTlsServer(tls, answer) : createServer(answer);
  if (uds !== null) await prepareSocket(uds);
  await new Promise<void>((resolve, reject) => {
    server.once('error', (cause) => reject(listenError(cause, door)));
    server.listen(uds === null ? { host, port } : { path: uds }, resolve);
  });
  const address = server.address() as AddressInfo | string;
  let closed: Promise<void> | null = null;
  const close = (): Promise<void> =>
    new Promise((resolve) => {
      server.close(() => resolve());
      server.closeAllConnections();
    });
  return {
    port: typeof address === 'string' ? port : address.port,
    close: () => (closed ??= close()),
  };
}

/**
 * Makes room for a socket: a server that was killed leaves the file of its own, which keeps the
 * next one from listening.
 *
 * @throws OctavoError `port_in_use` when a server still listens there; `usage` for another file,
 *   and for paths that are too long
 */
async function prepareSocket(path: string): Promise<void> {
  // Longer ones are cut without a word, which would be another file.
  if (Buffer.byteLength(path) > LONGEST_PATH) {
    throw udsError('usage', path, `must be at most ${LONGEST_PATH} bytes`);
  }
  const file = lstatSync(path, { throwIfNoEntry: false });
  if (!file) return;
  if (!file.isSocket()) throw udsError('usage', path, 'there is a file that is no socket');
  const socket = connect(path);
  try {
    await once(socket, 'connect');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ECONNREFUSED') return unlinkSync(path);
    throw listenError(error, { host: '', port: 0, uds: path });
  } finally {
    socket.destroy();
  }
  throw udsError('port_in_use', path, 'another server listens there');
}

/** Converts an error of `listen` to one about the door; unknown errors are returned unchanged. */
export function listenError(error: unknown, { host, port, uds }: Omit<Door, 'tls'>): unknown {
  const { code } = error as NodeJS.ErrnoException;
  if (uds !== null) {
    if (code === 'EADDRINUSE') return udsError('port_in_use', uds, 'another server listens there');
    if (code === 'EACCES') return udsError('port_in_use', uds, 'not permitted');
    const problem = `must be in a directory that exists and can be written (${code})`;
    return udsError('usage', uds, problem, error);
  }
  if (code === 'EADDRINUSE') {
    const message = `--port ${port}: already in use on ${host}`;
    return new OctavoError('port_in_use', message, { param: '--port', cause: error });
  }
  if (code === 'EACCES') {
    const message = `--port ${port}: not permitted on ${host}`;
    return new OctavoError('port_in_use', message, { param: '--port', cause: error });
  }
  if (code === 'EADDRNOTAVAIL' || code === 'ENOTFOUND' || code === 'EAI_AGAIN') {
    const message = `--host ${host}: must be an address or name of this machine (${code})`;
    return new OctavoError('usage', message, { param: '--host', cause: error });
  }
  return error;
}

function udsError(
  kind: 'usage' | 'port_in_use',
  path: string,
  problem: string,
  cause?: unknown,
): OctavoError {
  return new OctavoError(kind, `--uds ${clip(path)}: ${problem}`, { param: '--uds', cause });
}
