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
  // Two prompts that together are longer than the tables have rows: ONNX Runtime refuses such a
  // row.
  for (const id of ['a', 'b']) {
    const prompt = Array.from({ length: 1100 }, (_, i) => (300 + (i % 500)) as TokenId);
    core.add(tinyRequest(id, prompt, { maxTokens: 1 }));
  }
  const finished: string[] = [];
  while (core.hasWork) {
    finished.push(...((await core.step()) ?? []).map(({ id }) => id as string));
  }
  expect(finished).toEqual(['a', 'b']);
  await runner.dispose();
});

it('takes time and chance from its surroundings alone', async () => {
  let ticks = 0;
  const drawn: number[] = [];
  const { core, runner } = await loadTiny(
    { threads: 1, kvMetricsSampleRate: 0.5 },
    {
      now: () => ticks++,
      random: () => {
        drawn.push(0.75);
        return 0.75;
      },
    },
  );
  core.add(tinyRequest('a', [300 as TokenId], { maxTokens: 1 }));
  const before = ticks;
  await core.step();
  const { segments, attention, total } = core.timings;
  // Between two looks at this clock one millisecond passes.
  expect(segments).toBe(attention + 1);
  expect(total).toBeLessThan(ticks - before);
  expect(drawn.length).toBeGreaterThan(0);
  await runner.dispose();
});
