import { randomInt } from 'node:crypto';
import type { Logger } from 'pino';
import { RestartingEngine } from '../../engine/client/restarting-engine.js';
import { startOnDevice } from '../../engine/client/start-on-device.js';
import { createWorkerEngine, type WorkerEngineOptions } from '../../engine/client/worker-engine.js';
import { systemClock } from '../../engine/clock.js';
import { availableMemory } from '../../engine/environment/available-memory.js';
import { PromptThreads } from '../../engine/generation/prompts/prompt-threads.js';
import { GrammarChecker } from '../../engine/grammar/grammar-checker.js';
import { checkVocabulary, warningsOf } from '../../engine/text/check-model.js';
import { loadServedModel } from '../../engine/text/served-model.js';
import { buildApp } from '../app.js';
import { warnOfUnknownVariables } from '../config/load-settings.js';
import type { Settings } from '../config/settings.js';
import { connectionsWithin, readSystemLimits } from '../config/system-limits.js';
import { type LoadingServer, startLoadingServer } from '../http/listen.js';
import { startKvEvents } from '../kv-events/start-kv-events.js';
import { startServer } from '../lifecycle.js';
import { connectRedis } from '../limits/redis.js';
import { createLogger } from '../logger.js';
import { readWarmFile, warmPrefixes } from '../prefixes/warm-file.js';
import { createOtlpTracer, tracesUrl } from '../tracing/otlp-tracer.js';
import type { RequestTracer } from '../tracing/request-tracer.js';
import { addresses } from './addresses.js';
import { cacheLine } from './cache-line.js';
import { conversionProgress } from './progress-bar.js';
import { servedModelFiles } from './served-model-files.js';

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
  const loading = await startLoadingServer(settings.host, settings.port);
  try {
    return await loadAndServe(settings, logger, loading);
  } finally {
    await loading.close();
  }
}

async function loadAndServe(
  settings: Settings,
  logger: Logger,
  loading: LoadingServer,
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
  const { dir: modelDir, names } = await servedModelFiles(settings, (line) => logger.info(line));
  const { servedModelName: given } = settings;
  const model = await loadServedModel(modelDir, given.length > 0 ? given : names, {
    chatTemplate: settings.chatTemplate ?? null,
    allowSpecialTokens: settings.allowSpecialTokens,
  });
  const redis = settings.redisUrl ? await connectRedis(settings.redisUrl, logger) : null;
  const kvEvents = await startKvEvents(settings, logger);
  const progress = conversionProgress(process.stderr, (line) => logger.info(line));
  const start = (options: WorkerEngineOptions) =>
    createWorkerEngine(options, {
      onConversion: progress,
      onWarning: (line) => logger.warn(`octavo: ${line}`),
    });
  const first = await startOnDevice(settings, modelDir, {
    start,
    say: (line) => logger.info(`octavo: ${line}`),
  }).catch((error: unknown) => {
    redis?.disconnect();
    void kvEvents?.close();
    throw error;
  });
  const engine = new RestartingEngine(first.engine, {
    create: () => start({ ...first.options, isRestart: true }),
    restarts: 1,
    onFailure: (error) => logger.error({ err: error }, 'the engine has failed'),
    onRestartFailed: (error) => logger.error({ err: error }, 'the engine cannot be restarted'),
  });
  engine.onCacheEvents((events) => kvEvents?.publish(events));
  closeEngine = () => engine.close();
  const prompts = new PromptThreads(model, modelDir);
  const grammars = new GrammarChecker();
  const { maxNumBatchedTokens, vocabSize, modelNotes = [] } = engine.info;
  logger.info(`octavo: ${cacheLine(settings, engine.info, availableMemory())}`);
  const [variant, ...rewrites] = modelNotes;
  if (variant !== undefined) logger.info(`octavo: model: ${variant}`);
  for (const note of rewrites) logger.debug(`octavo: model: ${note}`);
  if (maxNumBatchedTokens < settings.maxNumBatchedTokens) {
    logger.warn(
      `octavo: steps of at most ${maxNumBatchedTokens} tokens: the model's rotary tables are no longer`,
    );
  }
  try {
    checkVocabulary(modelDir, model, vocabSize);
    for (const warning of warningsOf(model, vocabSize)) logger.warn(`octavo: ${warning}`);
    const { app, inFlight, models, pins } = buildApp({
      models: [{ engine, model, prompts, grammars, settings }],
      settings: { ...settings, maxConnections: possibleConnections(settings, logger) },
      redis,
      kvEvents: kvEvents?.source ?? null,
      tracer,
      logger,
      clock: systemClock,
      randomSeed: () => randomInt(2 ** 32),
    });
    logger.info(`octavo: ${models.first.forms.describe()}`);
    await warmPrefixes(prefixes, settings.warmPrefixes ?? '', pins, logger);
    await loading.close();
    const server = await startServer({
      app,
      inFlight,
      engines: [engine],
      logger,
      clock: systemClock,
      host: settings.host,
      port: loading.port,
      modelName: model.names[0],
      shutdownTimeoutSeconds: settings.shutdownTimeout,
    });
    if (process.stdout.isTTY) showAddresses(logger, model.names[0], server.url);
    stop = () => server.stop();
    return await server.ended;
  } finally {
    redis?.disconnect();
    await Promise.all([prompts.close(), grammars.close()]);
    await engine.close();
    await kvEvents?.close();
    await tracer?.close();
  }
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
