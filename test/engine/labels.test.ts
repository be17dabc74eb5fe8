import { describe, expect, it } from 'vitest';
import type { EngineOptions } from '../../engine/protocol/options.js';
import type { TokenId } from '../../scheduler/ids.js';
import { goldenPrompts, loadTiny, runAll, tinyRequest } from '../support/octavo-tiny.js';

const PROMPTS = goldenPrompts()
  .filter(({ length }) => length >= 15 && length <= 257)
  .slice(0, 6);
const LABELS = [7, 300, 41] as TokenId[];

/** @returns pairs of a label's log-probability and the prompt's */
async function scored(
  options: Partial<EngineOptions>,
): Promise<[number | undefined, number | undefined][]> {
  const engine = await loadTiny(options);
  const labeled = PROMPTS.map((prompt, i) =>
    tinyRequest(`labels${i}`, prompt, { labels: LABELS, maxTokens: 0 }),
  );
  // What the model says of the same tokens when they are the prompt's last.
  const longer = PROMPTS.flatMap((prompt, i) =>
    LABELS.map((label) =>
      tinyRequest(`prompt${i}-${label}`, [...prompt, label], { promptLogprobs: 0, maxTokens: 0 }),
    ),
  );
  const others = PROMPTS.map((prompt, i) => tinyRequest(`text${i}`, prompt));
  try {
    const outputs = await runAll(engine, [...labeled, ...longer, ...others]);
    return PROMPTS.flatMap((_, i) => {
      const answers = outputs.get(`labels${i}`) ?? [];
      expect(answers).toHaveLength(1);
      expect(answers[0]).toMatchObject({ tokenIds: [], finishReason: 'stop' });
      return LABELS.map((label, k): [number | undefined, number | undefined] => {
        const last = outputs.get(`prompt${i}-${label}`)?.[0]?.promptLogprobs?.at(-1);
        return [answers[0]?.labelLogprobs?.[k], last?.logprob];
      });
    });
  } finally {
    await engine.runner.dispose();
  }
}

describe('labels behind a prompt', () => {
  it.each([
    ['in large steps', {}],
    ['in small chunks, without caching', { maxNumBatchedTokens: 50, enablePrefixCaching: false }],
  ])('have the log-probabilities that they would have in it, %s', async (_, options) => {
    const all = await scored(options);
    expect(all).toHaveLength(PROMPTS.length * LABELS.length);
    for (const [label, prompt] of all) expect(label).toBeCloseTo(prompt ?? Number.NaN, 4);
  });
});
