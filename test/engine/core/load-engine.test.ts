import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';
import { loadEngine } from '../../../engine/core/load-engine.js';
import { PLAIN_REQUEST } from '../../../engine/core/protocol.js';
import { GREEDY } from '../../../engine/sampling/sampling-params.js';
import type { RequestId, TokenId } from '../../../scheduler/ids.js';

it("keeps a step within the model's rotary tables, whatever was asked for", async () => {
  const { core, info, runner } = await loadEngine({
    modelDir: fileURLToPath(new URL('../../../models/octavo-tiny', import.meta.url)),
    maxNumSeqs: 4,
    maxNumBatchedTokens: 4096,
    blockSize: 16,
    kvCacheBytes: 2 ** 26,
    kvDtype: 'f32',
    maxModelLength: null,
    threads: 1,
    enablePrefixCaching: false,
    schedulingPolicy: 'fcfs',
    longPrefillThreshold: 0,
    kvMetricsSampleRate: 0,
  });
  expect(info.maxNumBatchedTokens).toBe(2048);
  // Two prompts that together are longer than the tables have rows: ONNX Runtime refuses such a row.
  for (const id of ['a', 'b']) {
    core.add({
      ids: [id as RequestId],
      promptTokenIds: Array.from({ length: 1100 }, (_, i) => (300 + (i % 500)) as TokenId),
      maxTokens: 1,
      stopTokenIds: [],
      sampling: GREEDY,
      ...PLAIN_REQUEST,
    });
  }
  const finished: string[] = [];
  while (core.hasWork) {
    finished.push(...(await core.step()).map(({ requestId }) => requestId as string));
  }
  expect(finished).toEqual(['a', 'b']);
  await runner.dispose();
});
