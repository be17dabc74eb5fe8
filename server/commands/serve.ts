import { randomInt } from 'node:crypto';
import type { Logger } from 'pino';
import { systemClock } from '../../engine/clock.js';
import { embeddedModelDir } from '../../engine/environment/package-root.js';
import { GrammarChecker } from '../../engine/grammar/grammar-checker.js';
import type { AdapterInfo } from '../../engine/protocol/options.js';
import type { CacheEvent } from '../../kvcache/cache-events.js';
import { buildApp } from '../app.js';
import { warnOfUnknownVariables } from '../config/load-settings.js';
import type { Settings } from '../config/settings.js';
import { connectionsWithin, readSystemLimits } from '../config/system-limits.js';
import { type Door, type LoadingServer, startLoadingServer } from '../http/listen.js';
import { renewWhenChanged, tlsOptions } from '../http/tls.js';
import type { KeyTable } from '../keys/key-table.js';
import type { KeyUsage } from '../keys/key-usage.js';
import { openKeys } from '../keys/open-keys.js';
import { openUsage } from '../keys/usage-file.js';
import { startKvEvents } from '../kv-events/start-kv-events.js';
import { startServer } from '../lifecycle.js';
import { connectRedis } from '../limits/redis.js';
import { createLogger } from '../logger.js';
import { localModel } from '../pool/local-models.js';
import { listModels } from '../pool/model-list.js';
import { readWarmFile, warmPrefixes } from '../prefixes/warm-file.js';
import { createOtlpTracer, tracesUrl } from '../tracing/otlp-tracer.js';
import type { RequestTracer } from '../tracing/request-tracer.js';
import { addresses } from './addresses.js';
import { downloadObserver, progressBar } from './progress-bar.js';
import { assertOfOneModel, discoverModel, loadFirst } from './serve-models.js';

/**
 * `octavo serve`: serves until SIGTERM or SIGINT. A second signal, or one that comes while the
 * model is loaded, ends the process at once, by that signal: a shell shows 128 plus its number.
 *
 * @returns the exit code
 */
export async function serve(settings: Settings): Promise<number> {
  const logger = createLogger(settings.logLevel, process.stdout, warnOnStderr);
  if (settings.logPrompts) {
    logger.warn('octavo: --log-prompts is on: the log holds the prompts of all requests');
  }
  warnOfUnknownVariables(process.env, (line) => logger.warn(`octavo: ${line}`));
  const { host, port, uds = null } = settings;
  const door = { host, port, uds, tls: tlsOptions(settings) };
  const { keys, close } = openKeys(settings, systemClock, logger);
  const kept = await openUsage(settings.usageFile, systemClock, logger);
  const loading = await startLoadingServer(door);
  try {
    const entrance = { ...door, port: loading.port, loading, keys, usage: kept.usage };
    return await loadAndServe(settings, logger, entrance);
  } finally {
    close();
    await loading.close();
    await kept.close();
  }
}

/** Where clients come in, and who may. */
interface Entrance extends Door {
  readonly loading: LoadingServer;
  readonly keys: KeyTable;
  readonly usage: KeyUsage;
}

async function loadAndServe(
  settings: Settings,
  logger: Logger,
  { loading, keys, usage, ...door }: Entrance,
): Promise<number> {
  // Before the server runs, there are no requests to finish.
  let stop: (() => void) | null = null;
  let closeEngine = (): Promise<void> => Promise.resolve();
  onSignals((signal, isFirst) => {
    if (stop && isFirst) stop();
    else endAtOnce(signal, closeEngine);
  });
  const prefixes = settings.warmPrefixes === undefined ? [] : readWarmFile(settings.warmPrefixes);
  const tracer = await startTracing(settings, logger);
  const specs = listModels(settings, embeddedModelDir());
  assertOfOneModel(settings, specs);
  const redis = settings.redisUrl ? await connectRedis(settings.redisUrl, logger) : null;
  const kvEvents = await startKvEvents(settings, logger);
  const grammars = new GrammarChecker();
  const log = (line: string): void => logger.info(line);
  const surroundings = {
    settings,
    logger,
    grammars,
    download: downloadObserver(process.stderr, log),
    conversion: progressBar(process.stderr, log),
    onCacheEvents: kvEvents && ((events: readonly CacheEvent[]) => kvEvents.publish(events)),
  };
  let close = (): Promise<void> => Promise.resolve();
  try {
    const [first, ...others] = specs.map((spec) => localModel(spec, surroundings));
    const loaded = await loadFirst(first, others.length === 0 && !settings.allowPull, logger);
    closeEngine = async () => loaded?.close();
    close = closeEngine;
    const { app, inFlight, models, pins } = buildApp({
      models: [loaded ? { ...first, loaded } : first, ...others],
      discover: (name) => {
        const spec = discoverModel(name, settings);
        return spec && localModel(spec, surroundings);
      },
      settings: { ...settings, maxConnections: possibleConnections(settings, logger) },
      keys,
      usage,
      tls: door.tls,
      redis,
      kvEvents: kvEvents?.source ?? null,
      tracer,
      logger,
      clock: systemClock,
      randomSeed: () => randomInt(2 ** 32),
    });
    closeEngine = () => models.close();
    close = closeEngine;
    models.listen({
      loaded: ({ forms, engine }) => {
        if (engine.info.encoder) return;
        for (const line of adapterLines(engine.adapters?.list ?? []))
          logger.info(`octavo: ${line}`);
        logger.info(`octavo: ${forms.describe()}`);
      },
      unloading: () => undefined,
    });
    await warmPrefixes(prefixes, settings.warmPrefixes ?? '', pins, logger);
    await loading.close();
    const renewal = renewWhenChanged(app.server, settings, systemClock, logger);
    const server = await startServer({
      app,
      inFlight,
      engines: [models],
      logger,
      clock: systemClock,
      door,
      modelName: models.all.map(({ name }) => name).join(', '),
      shutdownTimeoutSeconds: settings.shutdownTimeout,
    });
    if (process.stdout.isTTY) showAddresses(logger, models.first.name, server.url);
    stop = () => server.stop();
    const code = await server.ended;
    renewal();
    return code;
  } finally {
    redis?.disconnect();
    await close();
    await grammars.close();
    await kvEvents?.close();
    await tracer?.close();
  }
}

function adapterLines(adapters: readonly AdapterInfo[]): string[] {
  return adapters.map(({ name, directory, rank, bytes }) => {
    const size = (bytes / 2 ** 20).toFixed(1);
    return `adapter ${name}: rank ${rank}, ${size} MiB of memory, from ${directory}`;
  });
}

/** A person who has started the server is shown where it is, even if the log has only warnings. */
function showAddresses(logger: Logger, modelName: string, url: string): void {
  const lines = addresses(url);
  if (logger.isLevelEnabled('info')) logger.info(lines);
  else if (logger.level !== 'silent') {
    process.stdout.write(`octavo: serving ${modelName} on ${url}\n${lines}\n`);
  }
}

/** The number of connections that the system allows; warns when it is lower than configured. */
function possibleConnections({ maxConnections }: Settings, logger: Logger): number {
  const limits = readSystemLimits();
  const possible = connectionsWithin(limits, maxConnections);
  if (possible < maxConnections) {
    logger.warn(
      `octavo: at most ${possible} connections, not ${maxConnections}: ${limits.openFiles} files may be open (ulimit -n)`,
    );
  }
  return possible;
}

/** Must not fail when stderr is a pipe without a reader. */
function warnOnStderr(line: string): void {
  process.stderr.once('error', () => undefined);
  process.stderr.write(`${line}\n`);
}

async function startTracing(settings: Settings, logger: Logger): Promise<RequestTracer | null> {
  const url = tracesUrl(settings.otlpTracesEndpoint, process.env);
  if (url === undefined) return null;
  const tracer = await createOtlpTracer({
    url,
    logger,
    clock: systemClock,
    wallClock: () => Date.now(),
  });
  logger.info(`octavo: traces go to ${url ?? "where OpenTelemetry's variables say"}`);
  return tracer;
}

type Signal = 'SIGINT' | 'SIGTERM';

const EXIT_CODES = { SIGINT: 130, SIGTERM: 143 } as const satisfies Record<Signal, number>;

function onSignals(handle: (signal: Signal, isFirst: boolean) => void): void {
  let isFirst = true;
  const listen = (signal: Signal): void => {
    handle(signal, isFirst);
    isFirst = false;
  };
  process.on('SIGINT', () => listen('SIGINT'));
  process.on('SIGTERM', () => listen('SIGTERM'));
}

/** Milliseconds to wait for the running step before `process.exit`. */
const LAST_STEP_MS = 2000;

/**
 * Ends the process by the signal itself, which a shell shows as 128 plus its number. `process.exit`
 * would stop the engine's thread first; if ONNX Runtime is computing there, that throws an
 * uncatchable exception, and the process aborts.
 */
function endAtOnce(signal: Signal, closeEngine: () => Promise<void>): void {
  process.removeAllListeners(signal);
  process.kill(process.pid, signal);
  // Still running: the system ignores the signal for the first process of a container. Its engine
  // ends by itself, between two steps.
  const exit = (): never => process.exit(EXIT_CODES[signal]);
  setTimeout(exit, LAST_STEP_MS);
  void closeEngine().then(exit, exit);
}
