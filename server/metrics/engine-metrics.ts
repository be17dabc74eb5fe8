import type { Engine } from '../../engine/client/engine-port.js';
import type { StepReport } from '../../engine/protocol/reports.js';
import type { EngineSettings } from '../../engine/settings.js';
import { BLOCK_SECONDS, STEP_SECONDS, STEP_TOKENS } from './buckets.js';
import type { MetricRegistry } from './metric-registry.js';
import { addTierMetrics } from './tier-metrics.js';

const PHASES = ['schedule', 'segments', 'attention', 'sample'] as const;

/** Of the settings that the engine was started with: those that metrics show. */
export type ShownSettings = Pick<
  EngineSettings,
  'enablePrefixCaching' | 'schedulingPolicy' | 'admissionQuantile' | 'kvCacheMemory'
>;

/**
 * Gauges and histograms of the engine itself: its queues, its cache, its steps. Follows the engine
 * from now on.
 */
export function addEngineMetrics(
  registry: MetricRegistry,
  engine: Engine,
  settings: ShownSettings,
): void {
  const { info } = engine;
  registry.gauge(
    'num_requests_running',
    'Requests in the running batch',
    () => engine.stats.running,
  );
  registry.gauge('num_requests_waiting', 'Requests that wait to run', () => engine.stats.waiting);
  registry.gauge(
    'num_requests_paused',
    'Requests that go on when their clients have read',
    () => engine.stats.paused,
  );
  registry.gauge(
    'kv_cache_usage_perc',
    'Share of the KV blocks in use, 0 to 1',
    // An encoder has none.
    () => engine.stats.usedBlocks / Math.max(1, info.numBlocks),
  );
  registry.info('cache_config_info', 'How the KV cache is set up, in the labels', {
    block_size: String(info.blockSize),
    num_blocks: String(info.numBlocks),
    // What the Gateway API's endpoint picker reads, whatever computes.
    num_gpu_blocks: String(info.numBlocks),
    enable_prefix_caching: String(settings.enablePrefixCaching),
    eviction_policy: info.evictionPolicy,
  });
  const { device, deviceFacts } = info;
  registry.info('device_info', 'What computes, in the labels', {
    device,
    name: deviceFacts?.name ?? '',
  });
  if (deviceFacts) {
    registry.gauge('device_kv_cache_bytes', "Bytes of the GPU's memory for the KV cache", () => {
      return settings.kvCacheMemory;
    });
    const { memoryBytes } = deviceFacts;
    if (memoryBytes !== null) {
      registry.gauge('device_memory_bytes', 'Bytes of memory that the GPU has', () => memoryBytes);
    }
  }
  registry.info('scheduler_config_info', 'How requests are scheduled, in the labels', {
    policy: settings.schedulingPolicy,
    admission_quantile: String(settings.admissionQuantile),
  });
  registry.info('engine_sleep_state', 'A loaded engine is awake: a model that sleeps has none', {
    sleep_state: 'awake',
  });
  registry.readCounter(
    'num_preemptions',
    'Times that a running request had to give its blocks back',
    () => engine.stats.preemptions,
  );
  registry.readCounter(
    'engine_restarts',
    'Engines that have failed and were replaced',
    () => engine.restarts ?? 0,
  );
  addSpeculationMetrics(registry, engine);
  addTierMetrics(registry, engine);
  const stepTokens = registry.histogram(
    'iteration_tokens_total',
    'Tokens computed in a step',
    STEP_TOKENS,
  );
  const phases = registry.histogram('step_phase_seconds', 'Time of a step by phase', STEP_SECONDS, [
    'phase',
  ]);
  const lifetimes = registry.histogram(
    'kv_block_lifetime_seconds',
    'From the allocation of cached blocks to their eviction (sampled)',
    BLOCK_SECONDS,
  );
  const idle = registry.histogram(
    'kv_block_idle_before_evict_seconds',
    'From the last use of cached blocks to their eviction (sampled)',
    BLOCK_SECONDS,
  );
  const gaps = registry.histogram(
    'kv_block_reuse_gap_seconds',
    'Between two uses of the same cached block (sampled)',
    BLOCK_SECONDS,
  );
  engine.onStep(({ numTokens, timings, residency }: StepReport) => {
    stepTokens.observe(numTokens);
    for (const phase of PHASES) phases.observe({ phase }, timings[phase] / 1000);
    for (const ms of residency?.lifetimes ?? []) lifetimes.observe(ms / 1000);
    for (const ms of residency?.idleBeforeEvict ?? []) idle.observe(ms / 1000);
    for (const ms of residency?.reuseGaps ?? []) gaps.observe(ms / 1000);
  });
}

/** vLLM's counters; all 0 while nothing is drafted. */
function addSpeculationMetrics(registry: MetricRegistry, engine: Engine): void {
  const acceptedAt = (): readonly number[] => engine.stats.speculation?.acceptedAt ?? [];
  registry.readCounter(
    'spec_decode_num_drafts',
    'Steps of requests that computed drafted tokens',
    () => engine.stats.speculation?.drafts ?? 0,
  );
  registry.readCounter(
    'spec_decode_num_draft_tokens',
    'Drafted tokens that were computed',
    () => engine.stats.speculation?.draftTokens ?? 0,
  );
  registry.readCounter('spec_decode_num_accepted_tokens', 'Drafted tokens that were right', () =>
    acceptedAt().reduce((sum, count) => sum + count, 0),
  );
  registry.readByLabel(
    'counter',
    'spec_decode_num_accepted_tokens_per_pos',
    'Drafted tokens that were right, by their place in the draft',
    'position',
    () => acceptedAt().map((count, position) => [String(position), count]),
  );
}
