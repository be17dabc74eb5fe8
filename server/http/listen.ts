import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { OctavoError } from '../../engine/errors.js';
import { errorAnswer } from './errors.js';
import { requestId } from './request-headers.js';

/** Holds the port while the model is loaded. */
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
export async function startLoadingServer(host: string, port: number): Promise<LoadingServer> {
  const error = new OctavoError('loading', 'the model is being loaded');
  const server = createServer((request, response) => {
    const { url = '', headers } = request;
    const { status, body } = errorAnswer({ url, headers, id: requestId(request) }, error);
    response.writeHead(status, {
      'content-type': 'application/json; charset=utf-8',
      'retry-after': '1',
      // The client's next request must reach the server that follows this one.
      connection: 'close',
    });
    response.end(JSON.stringify(body));
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', (cause) => reject(listenError(cause, host, port)));
    server.listen({ host, port }, resolve);
  });
  const address = server.address() as AddressInfo;
  let closed: Promise<void> | null = null;
  const close = (): Promise<void> =>
    new Promise((resolve) => {
      server.close(() => resolve());
      server.closeAllConnections();
    });
  return { port: address.port, close: () => (closed ??= close()) };
}

/**
 * Converts an error of `listen` to one about host and port; unknown errors are returned unchanged.
 */
export function listenError(error: unknown, host: string, port: number): unknown {
  const { code } = error as NodeJS.ErrnoException;
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
