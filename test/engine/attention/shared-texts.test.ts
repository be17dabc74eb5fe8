import { describe, expect, it, vi } from 'vitest';
import { KV_DTYPES, type KvDtype } from '../../../engine/attention/paged-attention.js';
import {
  goldenPrompts,
  loadTiny,
  runAll,
  tinyRequest,
  tokensOf,
} from '../../support/octavo-tiny.js';

/** Whether the planner may find anything, and the most sequences of a run that it has found. */
const sharing = vi.hoisted(() => ({ isOn: true, most: 0 }));

vi.mock(import('../../../engine/attention/kernel/shared-runs.js'), async (load) => {
  const { sharedRuns } = await load();
  return {
    sharedRuns: (...args) => {
      const runs = sharing.isOn ? sharedRuns(...args) : [];
      sharing.most = Math.max(sharing.most, ...runs.map(({ sharers }) => sharers.length));
      return runs;
    },
  };
});

const prompts = goldenPrompts().sort((a, b) => b.length - a.length);
const common = prompts[0].slice(0, 800);

/**
 * Texts of six prompts that begin with the same 800 tokens, all at once. Steps have the same rows
 * either way, so not even the last bit of a logit depends on sharing.
 */
async function texts(kvDtype: KvDtype, isOn: boolean) {
  Object.assign(sharing, { isOn, most: 0 });
  const engine = await loadTiny({ kvDtype });
  try {
    const requests = prompts
      .slice(-6)
      .map((prompt, i) => tinyRequest(`${i}`, [...common, ...prompt], { maxTokens: 24 }));
    const outputs = await runAll(engine, requests);
    const tokens = [...outputs].map(([id, own]) => [id, tokensOf(own)]);
    return { tokens, most: sharing.most };
  } finally {
    await engine.runner.dispose();
  }
}

describe('texts with a common prompt', () => {
  it.each(KV_DTYPES)('are the same whether its pages are shared or not: %s', async (kvDtype) => {
    const shared = await texts(kvDtype, true);
    const separate = await texts(kvDtype, false);
    expect([shared.most, separate.most]).toEqual([6, 0]);
    expect(shared.tokens).toEqual(separate.tokens);
  });
});
