import { randomInt } from 'node:crypto';
import { buildApp } from '../app.js';
import { systemClock } from '../clock.js';
import type { Settings } from '../config/settings.js';
import { startServer } from '../lifecycle.js';
import { createLogger } from '../logger.js';
import { loadServedModel } from '../text/served-model.js';
import { createWorkerEngine } from '../worker-engine.js';
import { engineOptions, modelDirOf } from './engine-options.js';

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
  const modelDir = await modelDirOf(settings);
  const model = await loadServedModel(modelDir, settings.servedModelName);
  const engine = await createWorkerEngine(engineOptions(settings, modelDir));
  for (const note of engine.info.modelNotes ?? []) logger.info(`model: ${note}`);
  try {
    const { app, inFlight } = buildApp({
      engine,
      model,
      settings,
      logger,
      clock: systemClock,
      randomSeed: () => randomInt(2 ** 32),
    });
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
    await engine.close();
  }
}

function stopOnSignal(stop: () => void): void {
  let signals = 0;
  const handle = (code: number): void => {
    signals++;
    if (signals > 1) process.exit(code);
    stop();
  };
  process.on('SIGINT', () => handle(130));
  process.on('SIGTERM', () => handle(143));
}
