import { afterEach, describe, expect, it } from 'vitest';
import type { EngineOptions } from '../../engine/protocol/options.js';
import { GREEDY } from '../../engine/sampling/sampling-params.js';
import type { LoadedEngine } from '../../engine/thread/load-engine.js';
import type { TokenId } from '../../scheduler/ids.js';
import { ExportRunner, exportDir, readGolden } from '../support/export-fixtures.js';
import { loadTiny, runAll, tinyRequest, tokensOf } from '../support/octavo-tiny.js';

// Models whose layers keep a state (short convolutions, gated DeltaNet, Mamba 2), with attention
// beside them or without, by the whole engine. What transformers says about them is the oracle.

const MODELS = [
  ['genai-0.18', 'lfm2', 'lfm2'],
  ['genai-0.18', 'qwen3.5', 'qwen3.5'],
  ['mobius-24', 'qwen3-next', 'transformers-5/qwen3-next'],
  ['mobius-24', 'mamba2', 'transformers-5/mamba2'],
] as const;
const BLOCK = 4;

const engines: LoadedEngine[] = [];
afterEach(async () => {
  for (const { runner } of engines.splice(0)) await runner.dispose();
});

async function load(modelDir: string, options: Partial<EngineOptions>): Promise<LoadedEngine> {
  const engine = await loadTiny({
    modelDir,
    blockSize: BLOCK,
    // Steps of whole blocks leave checkpoints behind; between them, there are 128 tokens.
    maxNumBatchedTokens: 16,
    kvCacheBytes: 2 ** 20,
    threads: 1,
    ...options,
  });
  engines.push(engine);
  return engine;
}

describe.each(MODELS)('%s/%s says what transformers says', (exporter, family, golden) => {
  const directory = exportDir(exporter, family);
  const { prompts, tokens } = readGolden(golden);
  const requests = prompts.map((prompt, i) =>
    tinyRequest(`p${i}`, prompt as TokenId[], { maxTokens: tokens[i].length }),
  );
  const expectGolden = (outputs: Awaited<ReturnType<typeof runAll>>): void => {
    for (const [i, expected] of tokens.entries()) {
      expect(tokensOf(outputs.get(`p${i}`))).toEqual(expected);
    }
  };

  it('at once, and again from what is cached', async () => {
    const engine = await load(directory, {});
    expectGolden(await runAll(engine, requests));
    expectGolden(await runAll(engine, requests));
    // Alone, so that each step ends a block of this prompt.
    for (const [i, request] of requests.entries()) {
      const output = (await runAll(engine, [request])).get(`p${i}`);
      expect(tokensOf(output)).toEqual(tokens[i]);
    }
    for (const [i, request] of requests.entries()) {
      const output = (await runAll(engine, [request])).get(`p${i}`);
      expect(tokensOf(output)).toEqual(tokens[i]);
      // All but the last step, which may end in the middle of a block.
      const cached = output?.[0].cachedTokens;
      expect(cached).toBeGreaterThanOrEqual(prompts[i].length - 16 - BLOCK);
    }
    engine.scheduler.checkIntegrity();
    expect(engine.cache.pool.numUsed).toBe(0);
  });

  it('when blocks run out and sequences are preempted', async () => {
    const { cache } = await load(directory, {});
    const bytes = 2 ** 20 / cache.pool.numBlocks;
    const longest = cache.maxHeldBlocks(90, 16);
    const engine = await load(directory, {
      kvCacheBytes: Math.ceil(bytes * (longest + 4)),
      maxModelLength: 90,
    });
    expectGolden(await runAll(engine, requests));
    // (Without attention, a sequence holds next to nothing, and all run at once.)
    if (family !== 'mamba2') expect(engine.scheduler.numPreemptions).toBeGreaterThan(0);
    expect(engine.cache.pool.numUsed).toBe(0);
  });

  it('from host memory, when pages and states have left the cache', async () => {
    const { cache } = await load(directory, {});
    const bytes = 2 ** 20 / cache.pool.numBlocks;
    const engine = await load(directory, {
      kvCacheBytes: Math.ceil(bytes * (cache.maxHeldBlocks(90, 16) + 2)),
      maxModelLength: 90,
      tiers: { hostMemoryBytes: 4 * 2 ** 20 },
    });
    for (let round = 0; round < 2; round++) {
      for (const [i, request] of requests.slice(0, 3).entries()) {
        const output = (await runAll(engine, [request])).get(`p${i}`);
        expect(tokensOf(output)).toEqual(tokens[i]);
      }
    }
    // (Whether more are loaded depends on how long the first ones took.)
    expect(engine.core.stats.tiers?.[0].loaded).toBeGreaterThan(0);
    await engine.tiers?.close();
  });

  it('cut anywhere', async () => {
    const runner = await ExportRunner.load(directory);
    try {
      const [prompt] = prompts;
      for (let chunk = 1; chunk <= prompt.length; chunk++) {
        const [result] = await runner.generate([prompt], 4, chunk);
        expect(result.tokens).toEqual(tokens[0].slice(0, 4));
      }
    } finally {
      await runner.dispose();
    }
  });

  it('in forks of a prompt, which go on from copies of its state', async () => {
    const engine = await load(directory, { maxNumBatchedTokens: 64 });
    const prompt = prompts[0] as TokenId[];
    const sampled = (ids: string[], seed: number) =>
      tinyRequest(ids, prompt, {
        maxTokens: 12,
        sampling: { ...GREEDY, temperature: 1.5, seed },
      });
    const outputs = await runAll(engine, [
      tinyRequest(['a', 'b'], prompt, { maxTokens: tokens[0].length }),
      sampled(['c', 'd', 'e'], 5),
    ]);
    expect(tokensOf(outputs.get('a'))).toEqual(tokens[0]);
    expect(tokensOf(outputs.get('b'))).toEqual(tokens[0]);
    const texts = ['c', 'd', 'e'].map((id) => tokensOf(outputs.get(id)));
    expect(new Set(texts.map((text) => text.join())).size).toBe(3);
    // The first of them as it is without siblings, and without a cache.
    const alone = await load(directory, { enablePrefixCaching: false, maxNumBatchedTokens: 64 });
    const again = await runAll(alone, [sampled(['c'], 5)]);
    expect(tokensOf(again.get('c'))).toEqual(texts[0]);
  });
});
