import { parentPort, workerData } from 'node:worker_threads';
import { toErrorRecord } from '../errors.js';
import { GRAMMAR_DEFAULTS, GrammarPool } from '../grammar/grammar-pool.js';
import type { EngineCommand, EngineMessage } from '../protocol/messages.js';
import type { EngineOptions } from '../protocol/options.js';
import { EngineLoop } from './engine-loop.js';
import { loadEngine } from './load-engine.js';

// The engine's thread. ONNX Runtime and the attention block it for milliseconds at a time, so HTTP
// and text run in another thread.

const port = parentPort;
if (!port) throw new Error('the engine runs in a worker thread');
const send = (message: EngineMessage): void => {
  // A snapshot's map of the blocks is a megabyte, so it is transferred; everything else is copied.
  const columns = message.type === 'snapshot' ? Object.values(message.snapshot.blocks) : [];
  port.postMessage(
    message,
    columns.map(({ buffer }: { buffer: ArrayBuffer }) => buffer),
  );
};

try {
  const options = workerData as EngineOptions;
  const engine = await loadEngine(options, {
    onConversion: (what, done, total) => send({ type: 'converting', what, done, total }),
    onNote: (line) => send({ type: 'note', line }),
    onWarning: (line) => send({ type: 'warning', line }),
  });
  const { core, info, runner, draftModel, draftLayers, cache, tiers } = engine;
  const { modelDir } = options;
  const grammars = new GrammarPool({ ...GRAMMAR_DEFAULTS, modelDir, vocabSize: info.vocabSize });
  const loop = new EngineLoop(core, send, grammars);
  port.on('message', (command: EngineCommand) => loop.post(command));
  const { stats, adapters } = core;
  send({ type: 'ready', info, stats, ...(adapters && { adapters }) });
  await loop.run();
  await tiers?.save(cache.pool);
  await tiers?.close();
  await runner.dispose();
  await draftModel?.runner.dispose();
  await draftLayers?.dispose();
} catch (error) {
  send({ type: 'failed', error: toErrorRecord(error) });
}
port.close();
