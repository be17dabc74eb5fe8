import { fileURLToPath } from 'node:url';
import type { Engine } from '../../../engine/client/engine-port.js';
import { RestartingEngine } from '../../../engine/client/restarting-engine.js';
import { createWorkerEngine } from '../../../engine/client/worker-engine.js';
import { describeEngine } from '../../conformance/engine.js';
import { ScriptedEngine } from '../../support/scripted-engine.js';

const startWorker = () =>
  createWorkerEngine({
    modelDir: fileURLToPath(new URL('../../../models/octavo-tiny', import.meta.url)),
    maxNumSeqs: 8,
    maxNumBatchedTokens: 64,
    blockSize: 16,
    kvCacheBytes: 16 * 2 ** 20,
    kvDtype: 'f32',
    maxModelLength: null,
    threads: 1,
    enablePrefixCaching: true,
    evictionPolicy: 'lru',
    schedulingPolicy: 'fcfs',
    longPrefillThreshold: 0,
    kvMetricsSampleRate: 0,
  });

describeEngine('the engine in its thread', startWorker);

describeEngine('an engine that is started again when it fails', async (): Promise<Engine> => {
  return new RestartingEngine(await startWorker(), {
    create: startWorker,
    restarts: 1,
    onFailure: () => undefined,
    onRestartFailed: () => undefined,
  });
});

describeEngine('the scripted engine of the tests', () => {
  const steps = (count: number) => Array.from({ length: count }, (_, i) => [i]);
  const script = ({ maxTokens }: { maxTokens: number }) =>
    ({ steps: steps(maxTokens), finish: 'length' }) as const;
  return Promise.resolve(new ScriptedEngine(script, {}, true));
});
