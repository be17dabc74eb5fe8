import { readFileSync } from 'node:fs';
import type { Server } from 'node:http';
import type { Socket } from 'node:net';
import { createSecureContext, type SecureContextOptions, Server as TlsServer } from 'node:tls';
import type { Logger } from 'pino';
import { clip } from '../../engine/clip.js';
import type { Clock } from '../../engine/clock.js';
import { OctavoError, reasonOf } from '../../engine/errors.js';
import { flagName } from '../config/setting-list.js';
import type { SettingName, Settings } from '../config/settings.js';
import { watchFiles } from '../watched-files.js';

/** Milliseconds that a client may take to agree on a cipher. */
const HANDSHAKE_MS = 10_000;

/** Clients that may be in the middle of that; the oldest makes room for one more. */
const MOST_HANDSHAKES = 256;

/** What a server of HTTPS is made with. */
export interface TlsOptions extends SecureContextOptions {
  /** Whether a client must have a certificate of `ca`. */
  readonly requestCert: boolean;
  readonly handshakeTimeout: number;
  /** As servers of HTTP have it: a client may close its side and still get its answer. */
  readonly allowHalfOpen: true;
}

export type TlsSettings = Pick<Settings, 'sslCertfile' | 'sslKeyfile' | 'sslCaCerts'>;

/**
 * Certificate and key of the settings; null where HTTP is served.
 *
 * @throws OctavoError `usage` for one without the other, and for files that cannot be used
 */
export function tlsOptions(settings: TlsSettings): TlsOptions | null {
  const { sslCertfile, sslKeyfile, sslCaCerts } = settings;
  if (sslCertfile === undefined && sslKeyfile === undefined && sslCaCerts === undefined)
    return null;
  if (sslCertfile === undefined) throw missing('sslCertfile', settings);
  if (sslKeyfile === undefined) throw missing('sslKeyfile', settings);
  const cert = read('sslCertfile', sslCertfile);
  const key = read('sslKeyfile', sslKeyfile);
  const ca = sslCaCerts === undefined ? null : read('sslCaCerts', sslCaCerts);
  assertUsable('sslCertfile', sslCertfile, { cert });
  assertUsable('sslKeyfile', sslKeyfile, { key });
  // Both are right by themselves: what is wrong now is that they are not of each other.
  assertUsable('sslKeyfile', sslKeyfile, { cert, key });
  if (ca !== null && sslCaCerts !== undefined) {
    if (!ca.includes('-----BEGIN')) throw unusable('sslCaCerts', sslCaCerts, 'has no certificate');
    assertUsable('sslCaCerts', sslCaCerts, { ca });
  }
  return {
    cert,
    key,
    ...(ca !== null && { ca }),
    requestCert: ca !== null,
    handshakeTimeout: HANDSHAKE_MS,
    allowHalfOpen: true,
  };
}

/**
 * Bounds the connections that have sent nothing of HTTP yet because they are not encrypted yet:
 * those are not among the server's connections (`Connections`).
 */
export function boundHandshakes(server: Server): void {
  const open = new Map<string, Socket>();
  // The socket of an encrypted connection is another one than that of the handshake.
  const idOf = ({ remoteAddress, remotePort }: Socket): string => `${remoteAddress} ${remotePort}`;
  server.on('connection', (socket: Socket) => {
    const id = idOf(socket);
    open.set(id, socket);
    socket.once('close', () => void open.delete(id));
    const [oldest] = open;
    if (open.size > MOST_HANDSHAKES && oldest) {
      open.delete(oldest[0]);
      oldest[1].destroy();
    }
  });
  server.on('secureConnection', (socket: Socket) => void open.delete(idOf(socket)));
}

/**
 * Uses new certificates for connections that begin from now on, when the files change; those that
 * cannot be used leave all as it is, and the log says so.
 *
 * @returns what ends this
 */
export function renewWhenChanged(
  server: Server,
  settings: TlsSettings,
  clock: Clock,
  logger: Logger,
): () => void {
  const { sslCertfile, sslKeyfile, sslCaCerts } = settings;
  const files = [sslCertfile, sslKeyfile, sslCaCerts].filter((file) => file !== undefined);
  if (!(server instanceof TlsServer)) return () => undefined;
  return watchFiles(files, clock, () => {
    try {
      server.setSecureContext(tlsOptions(settings) ?? {});
      logger.info('octavo: the certificate has been read again');
    } catch (error) {
      logger.error({ err: error }, 'octavo: the certificate is that of before');
    }
  });
}

function read(name: SettingName, path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code ?? 'unknown';
    throw unusable(name, path, `cannot be read (${code})`);
  }
}

function assertUsable(name: SettingName, path: string, options: SecureContextOptions): void {
  try {
    createSecureContext(options);
  } catch (error) {
    throw unusable(name, path, `cannot be used: ${reasonOf(error)}`);
  }
}

function unusable(name: SettingName, path: string, problem: string): OctavoError {
  const flag = flagName(name);
  return new OctavoError('usage', `${flag} ${clip(path)}: ${problem}`, { param: flag });
}

function missing(name: keyof TlsSettings, settings: TlsSettings): OctavoError {
  const names = ['sslCertfile', 'sslKeyfile', 'sslCaCerts'] as const;
  const given = flagName(names.find((other) => settings[other] !== undefined) ?? name);
  const flag = flagName(name);
  return new OctavoError('usage', `${given}: needs ${flag}, too`, { param: flag });
}
