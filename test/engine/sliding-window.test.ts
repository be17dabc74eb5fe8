import { afterEach, describe, expect, it } from 'vitest';
import type { EngineOptions } from '../../engine/protocol/options.js';
import type { LoadedEngine } from '../../engine/thread/load-engine.js';
import type { TokenId } from '../../scheduler/ids.js';
import { exportDir, readGolden } from '../support/export-fixtures.js';
import { loadTiny, runAll, tinyRequest, tokensOf } from '../support/octavo-tiny.js';

// Models with windows of 24 tokens, served with steps that are short beside them: layers give back
// what no token sees any more.

const engines: LoadedEngine[] = [];
afterEach(async () => {
  for (const { runner } of engines.splice(0)) await runner.dispose();
});

async function load(
  exporter: string,
  family: string,
  options: Partial<EngineOptions> = {},
): Promise<LoadedEngine> {
  const engine = await loadTiny({
    modelDir: exportDir(exporter, family),
    maxNumBatchedTokens: 16,
    blockSize: 4,
    kvCacheBytes: 2 ** 20,
    ...options,
  });
  engines.push(engine);
  return engine;
}

describe.each([
  ['genai-0.18', 'gemma2'],
  ['genai', 'gemma3'],
  ['genai', 'gpt-oss'],
  ['genai', 'mistral'],
])('%s: %s', (exporter, family) => {
  const { prompts, tokens } = readGolden(family);
  const requests = prompts.map((prompt, i) =>
    tinyRequest(`p${i}`, prompt as TokenId[], { maxTokens: tokens[i].length }),
  );

  it('generates what PyTorch does, at once and again from what is cached', async () => {
    const engine = await load(exporter, family);
    for (let round = 0; round < 2; round++) {
      const outputs = await runAll(engine, requests);
      for (const [i, expected] of tokens.entries()) {
        expect(tokensOf(outputs.get(`p${i}`))).toEqual(expected);
        const cached = outputs.get(`p${i}`)?.[0].cachedTokens;
        if (round > 0) expect(cached).toBe(Math.floor((prompts[i].length - 1) / 4) * 4);
      }
      engine.scheduler.checkIntegrity();
      expect(engine.cache.pool.numUsed).toBe(0);
    }
  });

  it('generates the same when blocks run out and sequences are preempted', async () => {
    const { cache } = await load(exporter, family);
    const longest = cache.maxHeldBlocks(90, 16);
    const whole = cache.pool.numBlocks;
    const bytes = Math.ceil((2 ** 20 / whole) * (longest + 4));
    const engine = await load(exporter, family, { kvCacheBytes: bytes, maxModelLength: 90 });
    const outputs = await runAll(engine, requests);
    for (const [i, expected] of tokens.entries()) {
      expect(tokensOf(outputs.get(`p${i}`))).toEqual(expected);
    }
    expect(engine.scheduler.numPreemptions).toBeGreaterThan(0);
  });
});

it('holds no blocks that no token sees', async () => {
  const engine = await load('genai', 'gemma3', { enablePrefixCaching: false });
  const { cache, core } = engine;
  // One layer of six sees all.
  expect(cache.groups.map(({ kind }) => kind)).toEqual([
    'full',
    ...Array<string>(5).fill('sliding-window'),
  ]);
  core.add(
    tinyRequest(
      'long',
      Array.from({ length: 150 }, (_, i) => (i % 50) as TokenId),
      { maxTokens: 60 },
    ),
  );
  let most = 0;
  while (core.hasWork) {
    await core.step();
    most = Math.max(most, cache.pool.numUsed);
  }
  expect(most).toBeLessThanOrEqual(cache.maxHeldBlocks(209, 16));
  // Without windows: 53 blocks in each of the six layers.
  expect(most).toBeLessThan(0.45 * 6 * 53);
});
