import { Server as TlsServer } from 'node:tls';
import type { Logger } from 'pino';
import type { Engine } from '../engine/client/engine-port.js';
import type { Clock } from '../engine/clock.js';
import { OctavoError } from '../engine/errors.js';
import type { App } from './app.js';
import type { InFlight } from './http/in-flight.js';
import { type Door, listenError } from './http/listen.js';

/** How often engines are asked whether they still live. */
const HEALTH_CHECK_MS = 250;

/** Time for aborted requests to send their last event. */
const GRACE_MS = 500;

export interface LifecycleOptions {
  readonly app: App;
  readonly inFlight: InFlight;
  readonly engines: readonly Pick<Engine, 'state' | 'close'>[];
  readonly logger: Logger;
  readonly clock: Clock;
  readonly door: Omit<Door, 'tls'>;
  readonly modelName: string;
  readonly shutdownTimeoutSeconds: number;
}

/** A running server, until it ends. */
export interface RunningServer {
  /** The address for clients: `http://127.0.0.1:8000`, or `unix:/run/octavo.sock`. */
  readonly url: string;
  /** Drains and closes. Idempotent. */
  stop(): void;
  /** The process's exit code, once all is closed: 0 after `stop`, 1 after the engine has failed. */
  readonly ended: Promise<number>;
}

/**
 * Listens, and ends in order: refuse new work with 503, let what runs finish within the timeout,
 * abort the rest, close the server, then the engine.
 *
 * @throws OctavoError `port_in_use`; `usage` when the address cannot be used
 */
export async function startServer(options: LifecycleOptions): Promise<RunningServer> {
  const { app, engines, logger, clock } = options;
  const url = await listen(app, options.door);
  logger.info(`octavo: serving ${options.modelName} on ${url}`);
  let settle = ignore;
  const ended = new Promise<number>((resolve) => {
    settle = resolve;
  });
  let ending = false;
  const end = (code: number): void => {
    if (ending) return;
    ending = true;
    watch.cancel();
    void close(options).then(
      () => settle(code),
      (error: unknown) => {
        logger.error({ err: error }, 'closing failed');
        settle(1);
      },
    );
  };
  const watch = clock.startTimer(() => {
    if (engines.every(({ state }) => state !== 'failed')) {
      watch.restart();
      return;
    }
    logger.fatal('the engine has failed; the server ends');
    end(1);
  }, HEALTH_CHECK_MS);
  return { url, ended, stop: () => end(0) };
}

const ignore = (_code: number): void => undefined;

/**
 * Refuses new requests, lets running ones finish within the timeout, and aborts the rest.
 *
 * @param hint how not to wait for them, for the log
 */
export async function drain(
  options: Pick<LifecycleOptions, 'inFlight' | 'logger' | 'clock' | 'shutdownTimeoutSeconds'>,
  hint = '',
): Promise<void> {
  const { inFlight, logger, clock } = options;
  const requests = `${inFlight.size} ${inFlight.size === 1 ? 'request' : 'requests'}`;
  const wait = `: ${requests} may take up to ${options.shutdownTimeoutSeconds} s${hint}`;
  inFlight.drain();
  logger.info(`octavo: draining${inFlight.size === 0 ? '' : wait}`);
  const within = (ms: number): Promise<'idle' | 'late'> =>
    new Promise((resolve) => {
      const timer = clock.startTimer(() => resolve('late'), ms);
      const finish = (): void => {
        timer.cancel();
        resolve('idle');
      };
      void inFlight.idle().then(finish);
    });
  if ((await within(options.shutdownTimeoutSeconds * 1000)) === 'late') {
    logger.warn('octavo: shutdown timeout is over, aborting what still runs');
    inFlight.abortAll(new OctavoError('draining', 'the server is shutting down'));
    await within(GRACE_MS);
  }
}

async function close(options: LifecycleOptions): Promise<void> {
  const { app, engines, logger, clock } = options;
  await drain(options, '; a second signal ends it');
  const closing = app.close();
  // All answers are complete now; only idle connections, and those whose clients do not read,
  // remain.
  const kill = clock.startTimer(() => app.server.closeAllConnections(), GRACE_MS);
  await closing;
  kill.cancel();
  await Promise.all(engines.map((engine) => engine.close()));
  logger.info('octavo: stopped');
}

async function listen(app: App, door: LifecycleOptions['door']): Promise<string> {
  const { host, port, uds } = door;
  try {
    await app.listen(uds === null ? { host, port } : { path: uds });
  } catch (error) {
    throw listenError(error, door);
  }
  const address = app.server.address();
  if (typeof address === 'string') return `unix:${address}`;
  const protocol = app.server instanceof TlsServer ? 'https' : 'http';
  return `${protocol}://${host.includes(':') ? `[${host}]` : host}:${address?.port ?? port}`;
}
