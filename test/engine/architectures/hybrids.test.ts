import { describe, expect, it, onTestFinished } from 'vitest';
import { openModel } from '../../../engine/model/open-model.js';
import { planCache } from '../../../engine/recurrent/cache-plan.js';
import { recurrentLayer } from '../../../engine/recurrent/recurrence.js';
import { maxHeldBlocks } from '../../../kvcache/cache-group.js';
import type { TokenId } from '../../../scheduler/ids.js';
import { checkpointDir, checkpointGolden } from '../../support/checkpoint-fixtures.js';
import { ExportRunner } from '../../support/export-fixtures.js';
import { loadTiny, runAll, tinyRequest, tokensOf } from '../../support/octavo-tiny.js';

// What transformers says about them: families.test.ts. Here: in any history.
const HYBRIDS = [
  'bamba',
  'falcon-h1',
  'granite4-h',
  'lfm2',
  'lfm2-moe',
  'mamba2',
  'nemotron-h',
  'qwen3-next',
  'qwen3.5',
];
// No hybrid: its last layers read the keys and values of earlier ones.
const SHARING = ['gemma3n', 'gemma4'];
const LENGTH = 96;
const SIZES = {
  blockSize: 8,
  kvDtype: 'f32',
  maxModelLength: LENGTH,
  maxNumBatchedTokens: 24,
} as const;

/** Generated tokens of a first turn. */
const SAID = 12;

const request = (ids: readonly string[], prompt: readonly number[], maxTokens: number) =>
  tinyRequest(ids, prompt as TokenId[], { maxTokens });

/** Memory for one sequence of the full length and one block more. */
async function tightBytes(modelDir: string): Promise<number> {
  const model = await openModel({ modelDir, maxLength: LENGTH });
  const states = model.recurrent.map(({ recurrence }) => recurrentLayer(recurrence));
  const plan = planCache(model.sites, SIZES, states);
  const blocks = plan.groups.reduce(
    (n, group) => n + maxHeldBlocks(group, LENGTH, SIZES.maxNumBatchedTokens, SIZES.blockSize),
    1,
  );
  return blocks * plan.bytesPerBlock;
}

describe.each([...HYBRIDS, ...SHARING])('%s', (name) => {
  const { prompts, tokens } = checkpointGolden(name);

  it('says the same wherever its prompts are cut', async () => {
    const runner = await ExportRunner.load(checkpointDir(name));
    onTestFinished(() => runner.dispose());
    for (const chunk of [1, 7, 64]) {
      const results = await runner.generate(prompts, tokens[0].length, chunk);
      expect(results.map((result) => result.tokens)).toEqual(tokens);
    }
  });

  it('says the same forked, preempted and resumed', async () => {
    const modelDir = checkpointDir(name);
    const kvCacheBytes = await tightBytes(modelDir);
    const engine = await loadTiny({ modelDir, ...SIZES, kvCacheBytes, threads: 1 });
    onTestFinished(() => engine.runner.dispose());
    const siblings = (i: number): string[] => [`${i}.0`, `${i}.1`];
    const outputs = await runAll(
      engine,
      prompts.map((prompt, i) => request(siblings(i), prompt, SAID)),
    );
    for (const i of prompts.keys()) {
      for (const id of siblings(i)) {
        expect(tokensOf(outputs.get(id))).toEqual(tokens[i].slice(0, SAID));
      }
    }
    expect(engine.core.stats.preemptions).toBeGreaterThan(0);
    engine.scheduler.checkIntegrity();
  });

  it('goes on from a cached beginning', async () => {
    const engine = await loadTiny({ modelDir: checkpointDir(name), ...SIZES, threads: 1 });
    onTestFinished(() => engine.runner.dispose());
    await runAll(engine, [request(['first'], prompts[1], SAID)]);
    // A second turn: what was said is a part of its prompt.
    const prompt = [...prompts[1], ...tokens[1].slice(0, SAID)];
    const outputs = await runAll(engine, [request(['a', 'b'], prompt, tokens[1].length - SAID)]);
    for (const id of ['a', 'b']) {
      const output = outputs.get(id);
      expect(output?.[0].cachedTokens).toBeGreaterThanOrEqual(prompt.length - 2 * SIZES.blockSize);
      expect(tokensOf(output)).toEqual(tokens[1].slice(SAID));
    }
  });
});
