import { describe, expect, it } from 'vitest';
import type { EngineOptions } from '../../engine/protocol/options.js';
import type { SequenceOutput, TokenLogprobs } from '../../engine/protocol/outputs.js';
import { GREEDY } from '../../engine/sampling/sampling-params.js';
import type { TokenId } from '../../scheduler/ids.js';
import {
  goldenPrompts,
  loadTiny,
  openUncutTiny,
  runAll,
  tinyRequest,
  tokensOf,
} from '../support/octavo-tiny.js';
import { logSoftmax, type UncutModel } from '../support/uncut-model.js';

const prompts = goldenPrompts()
  .filter(({ length }) => length >= 24 && length <= 129)
  .slice(0, 8);

/** Bytes of K and V in a block of 16 tokens: 5 layers, 2 heads of 32. */
const BLOCK = 16 * 2 * 5 * 2 * 32 * 4;

/**
 * What must stand at places `from` to the end of `tokens`, from the uncut graph's logits in
 * float64.
 */
async function expectLogprobs(
  uncut: UncutModel,
  tokens: readonly TokenId[],
  from: number,
  actual: readonly TokenLogprobs[],
  count: number,
): Promise<void> {
  const { logits } = await uncut.run(tokens);
  expect(actual.length).toBe(tokens.length - from);
  actual.forEach(({ logprob, topIds, topLogprobs }, i) => {
    const expected = logSoftmax(logits[from + i - 1]);
    const ranking = [...expected.keys()].sort((a, b) => expected[b] - expected[a] || a - b);
    expect(Math.abs(logprob - expected[tokens[from + i]])).toBeLessThan(1e-4);
    expect(topIds.length).toBe(count);
    topLogprobs.forEach((value, rank) => {
      expect(Math.abs(value - expected[ranking[rank]])).toBeLessThan(1e-4);
      expect(Math.abs(value - expected[topIds[rank]])).toBeLessThan(1e-4);
    });
  });
}

const generated = (outputs: readonly SequenceOutput[]): TokenLogprobs[] =>
  outputs.flatMap(({ logprobs }) => logprobs ?? []);

async function withEngine(
  options: Partial<EngineOptions>,
  use: (engine: Awaited<ReturnType<typeof loadTiny>>, uncut: UncutModel) => Promise<void>,
): Promise<void> {
  const engine = await loadTiny(options);
  try {
    await use(engine, await openUncutTiny());
    engine.scheduler.checkIntegrity();
  } finally {
    await engine.runner.dispose();
  }
}

describe('log-probabilities', () => {
  it('of generated tokens are the log-softmax of the logits, however the tokens were chosen', async () => {
    await withEngine({}, async (engine, uncut) => {
      const styles = [
        {},
        { temperature: 1 },
        { temperature: 1.7, topP: 0.9 },
        { temperature: 0.4, topK: 5 },
        { temperature: 1, repetitionPenalty: 1.5, logitBias: [[700 as TokenId, 8]] as const },
        { frequencyPenalty: 2 },
        { temperature: 1, typicalP: 0.9 },
        { temperature: 2, minP: 0.1 },
      ];
      const requests = styles.map((style, i) =>
        tinyRequest([`${i}.a`, `${i}.b`], prompts[i], {
          sampling: { ...GREEDY, ...style, seed: i },
          logprobs: i,
        }),
      );
      const outputs = await runAll(engine, requests);
      for (const [i, { ids, promptTokenIds }] of requests.entries()) {
        for (const id of ids) {
          const own = outputs.get(id) ?? [];
          const tokens = [...promptTokenIds, ...tokensOf(own)];
          await expectLogprobs(uncut, tokens, promptTokenIds.length, generated(own), i);
          expect(own.every(({ promptLogprobs }) => promptLogprobs === undefined)).toBe(true);
        }
      }
    });
  });

  it.each([
    ['in one piece', {}],
    ['in chunks', { maxNumBatchedTokens: 48 }],
    // 17 blocks: room for two of the prompts.
    [
      'in chunks of a scarce cache',
      { maxNumBatchedTokens: 48, maxModelLength: 272, kvCacheBytes: 17 * BLOCK },
    ],
  ] as [string, Partial<EngineOptions>][])(
    'of prompts, computed %s, cached or not',
    async (_, options) => {
      await withEngine(options, async (engine, uncut) => {
        // Fills the prefix cache: what is hit would have no logits.
        await runAll(
          engine,
          prompts.map((prompt, i) => tinyRequest(`warm${i}`, prompt, { maxTokens: 1 })),
        );
        const requests = prompts.map((prompt, i) =>
          tinyRequest([`${i}.a`, `${i}.b`], prompt, {
            promptLogprobs: i % 4,
            logprobs: 1,
            maxTokens: 30,
          }),
        );
        const outputs = await runAll(engine, requests);
        expect(engine.core.stats.preemptions > 0).toBe(options.kvCacheBytes !== undefined);
        for (const [i, { ids, promptTokenIds }] of requests.entries()) {
          const [first, ...later] = outputs.get(ids[0]) ?? [];
          expect(first.cachedTokens).toBe(0);
          await expectLogprobs(uncut, promptTokenIds, 1, first.promptLogprobs ?? [], i % 4);
          const [sibling, ...siblingLater] = outputs.get(ids[1]) ?? [];
          expect(sibling.promptLogprobs).toBe(first.promptLogprobs);
          const others = [...later, ...siblingLater];
          expect(others.every(({ promptLogprobs }) => promptLogprobs === undefined)).toBe(true);
        }
      });
    },
  );

  it('of a prompt alone, and of a prompt of one token', async () => {
    await withEngine({}, async (engine, uncut) => {
      const outputs = await runAll(engine, [
        tinyRequest('echo', prompts[3], { promptLogprobs: 2, maxTokens: 0 }),
        tinyRequest('one', [5 as TokenId], { promptLogprobs: 2, maxTokens: 1 }),
      ]);
      const echo = outputs.get('echo') ?? [];
      expect(echo).toMatchObject([{ tokenIds: [], finishReason: 'length' }]);
      await expectLogprobs(uncut, prompts[3], 1, echo[0].promptLogprobs ?? [], 2);
      expect(outputs.get('one')).toMatchObject([{ promptLogprobs: [], finishReason: 'length' }]);
    });
  });

  it('scores a prompt that fills the context, and generates nothing', async () => {
    await withEngine({ maxModelLength: 64 }, async (engine, uncut) => {
      const tokens = goldenPrompts().find(({ length }) => length >= 64) ?? [];
      const prompt = tokens.slice(0, 64);
      const more = { maxTokens: 0, promptLogprobs: 2 };
      // The second time its beginning is cached.
      for (const name of ['x', 'y']) {
        const outputs = await runAll(engine, [tinyRequest([name, `${name}2`], prompt, more)]);
        const [first] = outputs.get(name) ?? [];
        expect(outputs.get(name)).toHaveLength(1);
        const [second] = outputs.get(`${name}2`) ?? [];
        expect(second).toMatchObject({ tokenIds: [], finishReason: 'length' });
        expect(second?.promptLogprobs).toBe(first?.promptLogprobs);
        expect(first).toMatchObject({ tokenIds: [], finishReason: 'length' });
        await expectLogprobs(uncut, prompt, 1, first?.promptLogprobs ?? [], 2);
      }
      const [plain] = (await runAll(engine, [tinyRequest('z', prompt, { maxTokens: 0 })])).values();
      expect(plain).toMatchObject([{ tokenIds: [], finishReason: 'length' }]);
    });
  });

  it('refuses more alternatives than come out of the graph', async () => {
    await withEngine({}, ({ core }) => {
      for (const [param, more] of [
        ['logprobs', { logprobs: 129 }],
        ['prompt_logprobs', { promptLogprobs: 500 }],
      ] as const) {
        expect(() => core.add(tinyRequest('x', [1 as TokenId], more))).toThrow(
          expect.objectContaining({ kind: 'invalid_request', param }),
        );
      }
      return Promise.resolve();
    });
  });
});
