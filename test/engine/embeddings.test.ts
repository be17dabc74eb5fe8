import { describe, expect, it } from 'vitest';
import type { EngineOptions } from '../../engine/protocol/options.js';
import type { TokenId } from '../../scheduler/ids.js';
import {
  goldenPrompts,
  loadTiny,
  openUncutTiny,
  runAll,
  tinyRequest,
  tokensOf,
} from '../support/octavo-tiny.js';

const prompts = goldenPrompts()
  .filter(({ length }) => length >= 15 && length <= 257)
  .slice(0, 16);
const HIDDEN = 192;

function worstDifference(actual: Float32Array | undefined, expected: Float32Array): number {
  expect(actual?.length).toBe(expected.length);
  return Math.max(...expected.map((x, i) => Math.abs(x - (actual?.[i] ?? Number.NaN))));
}

async function embedAll(options: Partial<EngineOptions>, check: 'preempted' | 'calm') {
  const engine = await loadTiny(options);
  try {
    expect(engine.info.hiddenSize).toBe(HIDDEN);
    // Others generate meanwhile, with the same prompts.
    const requests = prompts.flatMap((prompt, i) => [
      tinyRequest(`last${i}`, prompt, { pooling: 'last' }),
      tinyRequest(`mean${i}`, prompt, { pooling: 'mean' }),
      tinyRequest(`text${i}`, prompt, { maxTokens: 10 }),
    ]);
    const outputs = await runAll(engine, requests);
    expect(engine.core.stats.preemptions > 0).toBe(check === 'preempted');
    expect(engine.core.stats).toMatchObject({ running: 0, waiting: 0, usedBlocks: 0 });
    engine.scheduler.checkIntegrity();
    return outputs;
  } finally {
    await engine.runner.dispose();
  }
}

describe('embeddings', () => {
  it.each([
    ['in large steps', 'calm', {}],
    [
      'in small chunks, without caching',
      'calm',
      { maxNumBatchedTokens: 50, enablePrefixCaching: false },
    ],
    [
      'in a scarce cache',
      'preempted',
      { maxNumBatchedTokens: 50, maxModelLength: 304, kvCacheBytes: 19 * 16 * 2 * 5 * 2 * 32 * 4 },
    ],
  ] as const)('are the hidden states before the LM head, %s', async (_, check, options) => {
    const outputs = await embedAll(options, check);
    const uncut = await openUncutTiny();
    for (const [i, prompt] of prompts.entries()) {
      const { hidden } = await uncut.run(prompt);
      const mean = Float32Array.from({ length: HIDDEN }, (__, d) => {
        return hidden.reduce((sum, row) => sum + row[d], 0) / prompt.length;
      });
      const [last, ...none] = outputs.get(`last${i}`) ?? [];
      expect(none).toEqual([]);
      expect(last).toMatchObject({ tokenIds: [], finishReason: 'stop' });
      expect(worstDifference(last.embedding, hidden[prompt.length - 1])).toBeLessThan(1e-3);
      const [pooled] = outputs.get(`mean${i}`) ?? [];
      expect(pooled).toMatchObject({ tokenIds: [], finishReason: 'stop', cachedTokens: 0 });
      expect(worstDifference(pooled.embedding, mean)).toBeLessThan(1e-3);
      expect(tokensOf(outputs.get(`text${i}`)).length).toBe(10);
    }
  });

  it('of a last token use the prefix cache, of a mean do not', async () => {
    const engine = await loadTiny();
    const prompt = prompts[12];
    const embed = async (id: string, pooling: 'last' | 'mean') =>
      (await runAll(engine, [tinyRequest(id, prompt, { pooling })])).get(id)?.[0];
    const cold = await embed('a', 'last');
    const warm = await embed('b', 'last');
    expect(cold?.cachedTokens).toBe(0);
    expect(warm?.cachedTokens).toBe(16 * Math.floor((prompt.length - 1) / 16));
    expect(worstDifference(warm?.embedding, cold?.embedding ?? new Float32Array())).toBeLessThan(
      1e-4,
    );
    expect((await embed('c', 'mean'))?.cachedTokens).toBe(0);
    await engine.runner.dispose();
  });

  it('have memory of their own, of their own size', async () => {
    const engine = await loadTiny();
    const both = await runAll(engine, [
      tinyRequest('a', prompts[0], { pooling: 'last' }),
      tinyRequest('b', [9, 8, 7] as TokenId[], { pooling: 'mean' }),
    ]);
    for (const id of ['a', 'b'])
      expect(both.get(id)?.[0].embedding?.buffer.byteLength).toBe(4 * HIDDEN);
    await engine.runner.dispose();
  });
});
