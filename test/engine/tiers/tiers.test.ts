import { describe, expect, it } from 'vitest';
import type { EngineOptions } from '../../../engine/protocol/options.js';
import type { LoadedEngine } from '../../../engine/thread/load-engine.js';
import type { SequenceId } from '../../../scheduler/ids.js';
import {
  goldenPrompts,
  loadTiny,
  runAll,
  tinyRequest,
  tokensOf,
} from '../../support/octavo-tiny.js';

/** Room for one sequence of 256 tokens, so that all others are evicted. */
const KINDS: readonly Partial<EngineOptions>[] = [
  { kvDtype: 'f32', kvCacheBytes: 16 * 40_960 },
  { kvDtype: 'int8', blockSize: 32, kvCacheBytes: 8 * 23_040 },
];

describe.each(KINDS)('tiers behind a small KV cache, $kvDtype', (kind) => {
  const prompts = goldenPrompts()
    .filter(({ length }) => length > 60)
    .slice(0, 4)
    .map((prompt, i) => prompt.slice(0, 140 + 6 * i));

  async function texts(engine: LoadedEngine, round: string): Promise<Map<string, number[]>> {
    const all = new Map<string, number[]>();
    for (const [i, prompt] of prompts.entries()) {
      const id = `${round}.${i}` as SequenceId;
      const outputs = await runAll(engine, [tinyRequest(id, prompt, { maxTokens: 12 })]);
      all.set(String(i), tokensOf(outputs.get(id)));
    }
    return all;
  }

  const start = (more: Partial<EngineOptions>): Promise<LoadedEngine> =>
    loadTiny({ maxModelLength: 256, maxNumBatchedTokens: 128, ...kind, ...more });

  it('gives the same texts, from memory', async () => {
    const plain = await start({});
    const expected = await texts(plain, 'a');
    await plain.runner.dispose();
    const engine = await start({ tiers: { hostMemoryBytes: 64 * 2 ** 20 } });
    expect(await texts(engine, 'a')).toEqual(expected);
    expect(engine.core.stats.tiers?.[0].loaded).toBe(0);
    expect(await texts(engine, 'b')).toEqual(expected);
    expect(engine.core.stats.tiers?.[0].loaded).toBeGreaterThan(4);
    engine.core.checkIntegrity();
    await engine.tiers?.close();
    await engine.runner.dispose();
  });
});
