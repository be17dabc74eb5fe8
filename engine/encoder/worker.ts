import { parentPort, workerData } from 'node:worker_threads';
import '../environment/no-telemetry.js';
import { toErrorRecord } from '../errors.js';
import type { EngineCommand, EngineMessage } from '../protocol/messages.js';
import type { EngineOptions } from '../protocol/options.js';
import { EncoderLoop } from './encoder-loop.js';
import { loadEncoder } from './load-encoder.js';

// The thread of an encoder. It speaks as the thread of a decoder does.

const port = parentPort;
if (!port) throw new Error('the engine runs in a worker thread');
const send = (message: EngineMessage): void => port.postMessage(message);

try {
  const options = workerData as EngineOptions;
  const { encoder, info } = await loadEncoder(options);
  const loop = new EncoderLoop(encoder, info, {
    maxNumSeqs: options.maxNumSeqs,
    usesPriority: options.schedulingPolicy === 'priority',
    send,
    now: () => performance.now(),
  });
  port.on('message', (command: EngineCommand) => loop.post(command));
  send({ type: 'ready', info, stats: loop.stats });
  await loop.run();
  await encoder.release();
} catch (error) {
  send({ type: 'failed', error: toErrorRecord(error) });
}
port.close();
