import { expect, it, onTestFinished } from 'vitest';
import { EngineCore } from '../../engine/core/engine-core.js';
import { EVICTION_POLICIES } from '../../kvcache/eviction/create-eviction.js';
import { KvCacheManager } from '../../kvcache/kv-cache-manager.js';
import type { TokenId } from '../../scheduler/ids.js';
import type { SchedulerConfig } from '../../scheduler/limits.js';
import { SCHEDULING_POLICIES } from '../../scheduler/policies/scheduling-policy.js';
import { Scheduler } from '../../scheduler/scheduler.js';
import { goldenPrompts, loadTiny, runAll, tinyRequest, tokensOf } from '../support/octavo-tiny.js';
import { historyOf } from '../support/sequences.js';

/** Prompts that begin alike, and others; of three tenants. */
const REQUESTS = goldenPrompts()
  .filter(({ length }) => length >= 60 && length <= 100)
  .slice(0, 3)
  .flatMap((prompt, family) =>
    [0, 1, 2].map((tenant) =>
      tinyRequest(`${family}-${tenant}`, [...prompt, (30 + tenant) as TokenId], {
        maxTokens: 12 + 16 * tenant,
        priority: tenant,
        tenant: `tenant ${tenant}`,
      }),
    ),
  );

it('the embedded model writes the same by whichever policies requests are served and blocks evicted', async () => {
  const { runner, info } = await loadTiny();
  onTestFinished(() => runner.dispose());

  /** Greedy texts, and how often a sequence was preempted. */
  async function run(
    numBlocks: number,
    eviction: (typeof EVICTION_POLICIES)[number],
    config: Partial<SchedulerConfig>,
  ) {
    const cache = new KvCacheManager({
      numBlocks,
      blockSize: info.blockSize,
      enablePrefixCaching: true,
      history: historyOf(numBlocks),
      eviction,
    });
    const scheduler = new Scheduler(
      {
        policy: 'fcfs',
        maxNumSeqs: 6,
        maxNumBatchedTokens: 128,
        longPrefillThreshold: 0,
        maxModelLength: 256,
        switchLengths: [],
        modelFingerprint: 'tiny',
        ...config,
      },
      cache,
    );
    const now = (): number => performance.now();
    const core = new EngineCore({ scheduler, runner, vocabSize: info.vocabSize, cache, now });
    const outputs = await runAll({ core }, REQUESTS);
    scheduler.checkIntegrity();
    return { texts: [...outputs.values()].map(tokensOf), preemptions: core.stats.preemptions };
  }

  const plenty = await run(200, 'lru', {});
  expect(plenty.texts.every((text) => text.length > 0)).toBe(true);
  expect(plenty.preemptions).toBe(0);
  for (const [i, policy] of SCHEDULING_POLICIES.entries()) {
    const scarce = await run(20, EVICTION_POLICIES[i], { policy });
    expect(scarce.texts).toEqual(plenty.texts);
    expect(scarce.preemptions).toBeGreaterThan(0);
  }
  const kept = await run(20, 'predicted', { admissionQuantile: 0.9 });
  expect(kept.texts).toEqual(plenty.texts);
});
