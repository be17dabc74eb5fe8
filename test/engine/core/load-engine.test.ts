import { expect, it } from 'vitest';
import type { TokenId } from '../../../scheduler/ids.js';
import { loadTiny, tinyRequest } from '../../support/octavo-tiny.js';

it("keeps a step within the model's rotary tables, whatever was asked for", async () => {
  const { core, info, runner } = await loadTiny({
    maxNumBatchedTokens: 4096,
    threads: 1,
    enablePrefixCaching: false,
  });
  expect(info.maxNumBatchedTokens).toBe(2048);
  // Two prompts that together are longer than the tables have rows: ONNX Runtime refuses such a row.
  for (const id of ['a', 'b']) {
    const prompt = Array.from({ length: 1100 }, (_, i) => (300 + (i % 500)) as TokenId);
    core.add(tinyRequest(id, prompt, { maxTokens: 1 }));
  }
  const finished: string[] = [];
  while (core.hasWork) {
    finished.push(...((await core.step()) ?? []).map(({ requestId }) => requestId as string));
  }
  expect(finished).toEqual(['a', 'b']);
  await runner.dispose();
});
