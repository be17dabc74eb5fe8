import { OctavoError } from '../../engine/errors.js';

/** What a failed `listen` means for the one who chose host and port; what it cannot explain comes back as it is. */
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
