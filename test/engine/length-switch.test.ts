import { afterEach, describe, expect, it } from 'vitest';
import type { EngineOptions } from '../../engine/protocol/options.js';
import type { LoadedEngine } from '../../engine/thread/load-engine.js';
import type { TokenId } from '../../scheduler/ids.js';
import { exportDir, readGolden } from '../support/export-fixtures.js';
import { loadTiny, runAll, tinyRequest, tokensOf } from '../support/octavo-tiny.js';

// Phi 4 mini with 128 tokens of original length: test/fixtures/exports/long_rope.py. What
// transformers generates is the same with a cache and without: where a text grows beyond the
// original length, it computes all of it again with the other factors.
const { prompts, tokens } = readGolden('phi4-mini-switch');
const ORIGINAL = 128;
const lengths = prompts.map(({ length }) => length);
const at = (length: number): number => lengths.indexOf(length);

const engines: LoadedEngine[] = [];
afterEach(async () => {
  for (const { runner } of engines.splice(0)) await runner.dispose();
});

async function load(exporter: string, options: Partial<EngineOptions> = {}): Promise<LoadedEngine> {
  const modelDir = exportDir(exporter, 'phi4-mini-switch');
  const engine = await loadTiny({ modelDir, ...options });
  engines.push(engine);
  return engine;
}

/** All at once; texts in the order of the prompts. */
async function texts(engine: LoadedEngine, cases: readonly number[]): Promise<number[][]> {
  const requests = cases.map((i) =>
    tinyRequest(`case-${i}`, prompts[i] as TokenId[], { maxTokens: tokens[i].length }),
  );
  const outputs = await runAll(engine, requests);
  engine.scheduler.checkIntegrity();
  return cases.map((i) => tokensOf(outputs.get(`case-${i}`)));
}

const golden = (cases: readonly number[]): number[][] => cases.map((i) => [...tokens[i]]);

describe.each(['torch-23', 'mobius'])(
  'rotary factors that a graph chooses by length: %s',
  (exporter) => {
    it('are those of each sequence, whatever runs beside it and is cached', async () => {
      const engine = await load(exporter);
      const [short, long] = [at(45), at(330)];
      expect(await texts(engine, [short])).toEqual(golden([short]));
      expect(await texts(engine, [short, long])).toEqual(golden([short, long]));
      // A new one beside the long one, whose pages are cached already; and the same once more, from
      // its own pages.
      expect(await texts(engine, [at(100), long])).toEqual(golden([at(100), long]));
      expect(await texts(engine, [at(100)])).toEqual(golden([at(100)]));
      expect(await texts(engine, [short])).toEqual(golden([short]));
    });

    it('change with a text that grows beyond the original length', async () => {
      const engine = await load(exporter);
      const crossing = [at(127), at(128)];
      for (const i of crossing) {
        expect(lengths[i]).toBeLessThanOrEqual(ORIGINAL);
        expect(lengths[i] + tokens[i].length).toBeGreaterThan(ORIGINAL + 1);
      }
      for (const i of crossing) expect(await texts(engine, [i])).toEqual(golden([i]));
      expect(await texts(engine, crossing)).toEqual(golden(crossing));
    });

    it.each([
      ['in chunks, without a cache', { enablePrefixCaching: false, maxNumBatchedTokens: 24 }],
      // 27 blocks of 16 tokens, for 7 requests with 900 tokens.
      ['preempted', { kvCacheBytes: 33 * 16 * 2 * 2 * 2 * 16 * 4, maxNumBatchedTokens: 100 }],
    ])('are right for all at once: %s', async (_, options) => {
      const engine = await load(exporter, options);
      const all = prompts.map((_prompt, i) => i);
      expect(await texts(engine, all)).toEqual(golden(all));
      expect(await texts(engine, all)).toEqual(golden(all));
    });

    it('never change where no sequence may grow that long', async () => {
      const engine = await load(exporter, { maxModelLength: ORIGINAL });
      const short = [at(20), at(45), at(100)];
      expect(await texts(engine, short)).toEqual(golden(short));
    });
  },
);
