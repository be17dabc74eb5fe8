import { afterEach, describe, expect, it, vi } from 'vitest';
import { WORDS_PER_TASK } from '../../../engine/attention/kernel/attention-plan.js';
import { AttentionPlanner } from '../../../engine/attention/kernel/attention-planner.js';
import { KV_DTYPES } from '../../../engine/attention/paged-attention.js';
import {
  goldenPrompts,
  loadTiny,
  runAll,
  tinyRequest,
  tokensOf,
} from '../../support/octavo-tiny.js';

const prompts = goldenPrompts().sort((a, b) => b.length - a.length);
const [longest] = prompts;
/** One prompt of two spans for all, then another one for each. */
const requests = () =>
  prompts
    .slice(-6)
    .map((prompt, i) =>
      tinyRequest(`${i}`, [...longest.slice(0, 800), ...prompt], { maxTokens: 24 }),
    );

afterEach(() => vi.restoreAllMocks());

/** The texts of all requests, and the most rows of sequences that a task of theirs had. */
async function texts(
  kvDtype: (typeof KV_DTYPES)[number],
  enablePrefixCaching: boolean,
): Promise<{ tokens: unknown; sharers: number }> {
  const plans = vi.spyOn(AttentionPlanner.prototype, 'plans');
  const engine = await loadTiny({ kvDtype, enablePrefixCaching });
  try {
    const outputs = await runAll(engine, requests());
    const sharers = plans.mock.results.flatMap(({ value }) =>
      (value as ReturnType<AttentionPlanner['plans']>).flatMap(({ tasks, numTasks }) =>
        Array.from({ length: numTasks }, (_, i) => tasks[WORDS_PER_TASK * i + 1]),
      ),
    );
    const tokens = [...outputs].map(([id, own]) => [id, tokensOf(own)]);
    return { tokens, sharers: Math.max(...sharers) };
  } finally {
    plans.mockRestore();
    await engine.runner.dispose();
  }
}

describe('texts with a common prompt', () => {
  it.each(KV_DTYPES)(
    'are the same whether its pages are shared or not: %s',
    {
      timeout: 120_000,
    },
    async (kvDtype) => {
      const shared = await texts(kvDtype, true);
      const separate = await texts(kvDtype, false);
      expect(shared.sharers).toBe(6);
      expect(separate.sharers).toBe(1);
      expect(shared.tokens).toEqual(separate.tokens);
    },
  );
});
