import { describe } from 'vitest';
import type { EngineOptions } from '../../../engine/protocol/options.js';
import { describeModelRunner, type RunnerFixture } from '../../conformance/model-runner.js';
import { loadTiny } from '../../support/octavo-tiny.js';
import { hasWebGpu } from '../../support/webgpu.js';

async function onDevice(options: Partial<EngineOptions> = {}): Promise<RunnerFixture> {
  const { runner, info, cache } = await loadTiny({
    device: 'webgpu',
    blockSize: 32,
    maxNumBatchedTokens: 64,
    kvCacheBytes: 2 ** 23,
    ...options,
  });
  return { runner, ...info, numGroups: cache.groups.length };
}

describe.skipIf(!(await hasWebGpu()))('on a device', () => {
  // Kernels differ by how many tokens a step has of a sequence, and round differently.
  describeModelRunner('a decoder as one graph', onDevice, 1e-2);
  describeModelRunner(
    'a decoder with its cache in the graph',
    () => onDevice({ deviceCache: 'initializers' }),
    1e-2,
  );
});
