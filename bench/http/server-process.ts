import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { pino } from 'pino';
import { engineOptions } from '../../engine/client/engine-options.js';
import type { Engine } from '../../engine/client/engine-port.js';
import { createWorkerEngine } from '../../engine/client/worker-engine.js';
import { systemClock } from '../../engine/clock.js';
import { PromptThreads } from '../../engine/generation/prompts/prompt-threads.js';
import { GrammarChecker } from '../../engine/grammar/grammar-checker.js';
import { loadServedModel } from '../../engine/text/served-model.js';
import { buildApp } from '../../server/app.js';
import { loadSettings } from '../../server/config/load-settings.js';
import { startServer } from '../../server/lifecycle.js';
import { SteppingEngine } from './stepping-engine.js';

// The server of `bench:http`, in a process of its own: its engine computes nothing (`stepping`), or
// runs octavo-tiny in its thread (`worker`). Answers each message with the processor time of the
// main thread so far.

const MODEL = fileURLToPath(new URL('../../models/octavo-tiny', import.meta.url));

const settings = loadSettings({ port: ['0'], threads: ['1'] }, {});
const model = await loadServedModel(MODEL, []);
const engine = process.argv[2] === 'worker' ? await worker() : stepping();

function worker(): Promise<Engine> {
  return createWorkerEngine(engineOptions(settings, { dir: MODEL }, { device: 'cpu' }));
}

function stepping(): Engine {
  const [token] = model.tokenizer.encode('owl', { addSpecialTokens: false });
  return new SteppingEngine(token, 2048);
}

/** Nanoseconds that this thread, the main one, has run: the first thread's id is the process's. */
function mainThreadNanoseconds(): number {
  const text = readFileSync(`/proc/self/task/${process.pid}/schedstat`, 'utf8');
  return Number(text.split(' ')[0]);
}

const logger = pino({ level: 'silent' });
const { app, inFlight } = buildApp({
  redis: null,
  models: [
    {
      engine,
      model,
      prompts: new PromptThreads(model, MODEL),
      grammars: new GrammarChecker(),
      settings,
    },
  ],
  settings,
  logger,
  clock: systemClock,
  randomSeed: () => 1,
});
const server = await startServer({
  app,
  inFlight,
  engines: [engine],
  logger,
  clock: systemClock,
  door: { host: settings.host, port: settings.port, uds: null },
  modelName: model.names[0],
  shutdownTimeoutSeconds: 0,
});
process.on('message', () => {
  process.send?.({ mainThreadNs: mainThreadNanoseconds(), steps: engine.stats.steps });
});
process.once('disconnect', () => server.stop());
process.send?.({ url: server.url });
await server.ended;
