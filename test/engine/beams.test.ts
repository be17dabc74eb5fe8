import { readFileSync } from 'node:fs';
import { expect, it, onTestFinished } from 'vitest';
import type { TokenId } from '../../scheduler/ids.js';
import { checkpointDir, checkpointGolden } from '../support/checkpoint-fixtures.js';
import { loadTiny, runAll, tinyRequest } from '../support/octavo-tiny.js';
import { range } from '../support/sequences.js';

interface Golden {
  readonly cases: readonly {
    readonly width: number;
    readonly length_penalty: number;
    readonly early_stopping: boolean | 'never';
    /** How many of the family's stop tokens there are. */
    readonly stops: number;
  }[];
  readonly newTokens: number;
  readonly families: Readonly<
    Record<
      string,
      {
        readonly stops: readonly TokenId[];
        /** `[case][prompt][rank]` */
        readonly found: readonly (readonly (readonly {
          readonly tokens: readonly number[];
          readonly score: number;
        }[])[])[];
      }
    >
  >;
}

/** What test/fixtures/beams/make.py has written. */
const GOLDEN = JSON.parse(
  readFileSync(new URL('../fixtures/beams/golden.json', import.meta.url), 'utf8'),
) as Golden;

it.each(Object.entries(GOLDEN.families))(
  '%s: the texts and scores of transformers, one search after the other and all at once',
  async (name, { stops, found }) => {
    const modelDir = checkpointDir(name);
    const sizes = { blockSize: 8, maxNumBatchedTokens: 24, maxNumSeqs: 64 } as const;
    const engine = await loadTiny({ modelDir, ...sizes, kvDtype: 'f32', threads: 1 });
    onTestFinished(() => engine.runner.dispose());
    const prompts = checkpointGolden(name).prompts.slice(0, found[0].length);
    const searches = GOLDEN.cases.flatMap((each, i) => {
      const beams = {
        width: each.width,
        lengthPenalty: each.length_penalty,
        earlyStopping: each.early_stopping,
      };
      return prompts.map((prompt, p) => ({
        expected: found[i][p],
        request: tinyRequest(
          range(0, each.width).map((rank) => `${i}-${p}-${rank}`),
          prompt as TokenId[],
          {
            beams,
            maxTokens: GOLDEN.newTokens,
            stopTokenIds: stops.slice(0, each.stops),
            logprobs: 2,
          },
        ),
      }));
    });
    const expectFound = async (some: typeof searches): Promise<void> => {
      const outputs = await runAll(
        engine,
        some.map(({ request }) => request),
      );
      for (const { request, expected } of some) {
        for (const [rank, { tokens, score }] of expected.entries()) {
          const [output, ...more] = outputs.get(request.ids[rank]) ?? [];
          expect(more).toEqual([]);
          expect(output.tokenIds).toEqual(tokens);
          const sum = output.logprobs?.reduce((total, { logprob }) => total + logprob, 0) ?? 0;
          const power = request.beams?.lengthPenalty ?? 0;
          expect(sum / tokens.length ** power).toBeCloseTo(score, 3);
        }
      }
      expect(engine.cache.pool.numUsed).toBe(0);
    };
    for (const each of searches) await expectFound([each]);
    await expectFound(searches);
    engine.scheduler.checkIntegrity();
  },
);
