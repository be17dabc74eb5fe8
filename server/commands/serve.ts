import { randomInt } from 'node:crypto';
import { buildApp } from '../app.js';
import { systemClock } from '../clock.js';
import type { Settings } from '../config/settings.js';
import { startServer } from '../lifecycle.js';
import { connectRedis } from '../limits/redis.js';
import { createLogger } from '../logger.js';
import { type MortalEngine, RestartingEngine } from '../restarting-engine.js';
import { checkVocabulary, warningsOf } from '../text/check-model.js';
import { loadServedModel } from '../text/served-model.js';
import { createWorkerEngine } from '../worker-engine.js';
import { conversionProgress } from './conversion-progress.js';
import { engineOptions, servedModelFiles } from './engine-options.js';

/**
 * `octavo serve`: serves until SIGTERM or SIGINT. A second signal ends the process at once, with 128 plus the signal's number.
 *
 * @returns the exit code
 */
export async function serve(settings: Settings): Promise<number> {
  // Until something is served there is nothing to finish.
  let stop = (): void => process.exit(0);
  stopOnSignal(() => stop());
  const logger = createLogger(settings.logLevel, process.stdout);
  const { dir: modelDir, names } = await servedModelFiles(settings, (line) => logger.info(line));
  const { servedModelName: given } = settings;
  const model = await loadServedModel(modelDir, given.length > 0 ? given : names, {
    chatTemplate: settings.chatTemplate ?? null,
  });
  const redis = settings.redisUrl ? await connectRedis(settings.redisUrl, logger) : null;
  const progress = conversionProgress(process.stderr, (line) => logger.info(line));
  const create = (): Promise<MortalEngine> =>
    createWorkerEngine(engineOptions(settings, modelDir), progress);
  const first = await create().catch((error: unknown) => {
    redis?.disconnect();
    throw error;
  });
  const engine = new RestartingEngine(first, {
    create,
    restarts: 1,
    onFailure: (error) => logger.error({ err: error }, 'the engine has failed'),
    onRestartFailed: (error) => logger.error({ err: error }, 'the engine cannot be restarted'),
  });
  const { maxNumBatchedTokens, vocabSize, modelNotes = [] } = engine.info;
  for (const note of modelNotes) logger.info(`octavo: model: ${note}`);
  if (maxNumBatchedTokens < settings.maxNumBatchedTokens) {
    logger.warn(
      `octavo: steps of at most ${maxNumBatchedTokens} tokens: the model's rotary tables are no longer`,
    );
  }
  try {
    checkVocabulary(modelDir, model, vocabSize);
    for (const warning of warningsOf(model, vocabSize)) logger.warn(`octavo: ${warning}`);
    const { app, inFlight, messageForms } = buildApp({
      engine,
      model,
      settings,
      redis,
      logger,
      clock: systemClock,
      randomSeed: () => randomInt(2 ** 32),
    });
    logger.info(`octavo: ${messageForms.describe()}`);
    const server = await startServer({
      app,
      inFlight,
      engine,
      logger,
      clock: systemClock,
      host: settings.host,
      port: settings.port,
      modelName: model.names[0],
      shutdownTimeoutSeconds: settings.shutdownTimeout,
    });
    stop = () => server.stop();
    return await server.ended;
  } finally {
    redis?.disconnect();
    await engine.close();
  }
}

function stopOnSignal(stop: () => void): void {
  let signals = 0;
  const handle = (signal: 'SIGINT' | 'SIGTERM', code: number): void => {
    signals++;
    if (signals > 1) endAtOnce(signal, code);
    else stop();
  };
  process.on('SIGINT', () => handle('SIGINT', 130));
  process.on('SIGTERM', () => handle('SIGTERM', 143));
}

/**
 * Ends by the signal itself, which a shell shows as 128 plus its number. `process.exit` would stop the engine's thread first, and if ONNX
 * Runtime computes there, that throws where nobody can catch it: the process would abort.
 */
function endAtOnce(signal: 'SIGINT' | 'SIGTERM', code: number): void {
  process.removeAllListeners(signal);
  process.kill(process.pid, signal);
  // Still here: the system spares the first process of a container.
  process.exit(code);
}
