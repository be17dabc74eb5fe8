import type { EngineOptions } from '../../../engine/protocol/options.js';
import { FULL_ATTENTION } from '../../../kvcache/cache-group.js';
import { describeModelRunner, type RunnerFixture } from '../../conformance/model-runner.js';
import { exportDir } from '../../support/export-fixtures.js';
import { loadTiny } from '../../support/octavo-tiny.js';
import { PagedModel } from '../../support/paged-model.js';

async function segments(options: Partial<EngineOptions> = {}): Promise<RunnerFixture> {
  const { runner, info, cache } = await loadTiny({
    threads: 1,
    maxNumBatchedTokens: 64,
    blockSize: 4,
    ...options,
  });
  return { runner, ...info, numGroups: cache.groups.length };
}

describeModelRunner('segments in ONNX Runtime', segments, 1e-4);

describeModelRunner(
  'segments of a model with windows, in six groups',
  () =>
    segments({
      modelDir: exportDir('genai', 'gemma3'),
      maxNumBatchedTokens: 16,
      kvCacheBytes: 2 ** 21,
    }),
  1e-4,
);

describeModelRunner(
  "the tests' model, with full, window and recurrent layers",
  () => {
    const groups = [
      FULL_ATTENTION,
      { kind: 'sliding-window', window: 6 },
      { kind: 'recurrent', checkpointBlocks: 1 },
    ] as const;
    const sizes = { numBlocks: 600, blockSize: 4, vocabSize: 50 };
    const runner = new PagedModel({ ...sizes, groups });
    return Promise.resolve({ runner, ...sizes, numGroups: groups.length });
  },
  0,
);
