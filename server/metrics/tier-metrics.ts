import type { Engine } from '../../engine/client/engine-port.js';
import type { TierStats } from '../../engine/protocol/reports.js';
import type { MetricRegistry } from './metric-registry.js';

/** What each tier behind the KV cache holds and does; nothing where there are none. */
export function addTierMetrics(registry: MetricRegistry, engine: Engine): void {
  if (engine.stats.tiers === undefined) return;
  const read = (value: (tier: TierStats) => number) => (): [string, number][] =>
    (engine.stats.tiers ?? []).map((tier) => [tier.name, value(tier)]);
  registry.gauge(
    'num_requests_loading',
    'Requests that wait for blocks from a tier; they are among the waiting ones',
    () => engine.stats.loading,
  );
  registry.readByLabel(
    'gauge',
    'kv_tier_bytes',
    'Bytes that a tier holds',
    'tier',
    read((t) => t.bytes),
  );
  registry.readByLabel(
    'gauge',
    'kv_tier_capacity_bytes',
    'Bytes that a tier may hold',
    'tier',
    read((t) => t.capacityBytes),
  );
  registry.readByLabel(
    'gauge',
    'kv_tier_blocks_queued',
    'Blocks that wait to be written to a tier',
    'tier',
    read((t) => t.queued),
  );
  registry.readByLabel(
    'gauge',
    'kv_tier_up',
    '1 while a tier is used, 0 while it is given up because of failures',
    'tier',
    read((t) => Number(t.isUp)),
  );
  registry.readByLabel(
    'counter',
    'kv_tier_blocks_asked',
    'Blocks that a tier was asked for',
    'tier',
    read((t) => t.asked),
  );
  registry.readByLabel(
    'counter',
    'kv_tier_blocks_found',
    'Blocks that a tier was asked for and had',
    'tier',
    read((t) => t.found),
  );
  registry.readByLabel(
    'counter',
    'kv_tier_loads',
    'Times that blocks were loaded from a tier, for one request from far tiers, for one step from memory',
    'tier',
    read((t) => t.loads),
  );
  registry.readByLabel(
    'counter',
    'kv_tier_load_seconds',
    'Time that these loads took, waiting included',
    'tier',
    read((t) => t.loadMs / 1000),
  );
  registry.readByLabel(
    'counter',
    'kv_tier_blocks_loaded',
    'Blocks that were loaded from a tier',
    'tier',
    read((t) => t.loaded),
  );
  registry.readByLabel(
    'counter',
    'kv_tier_blocks_stored',
    'Blocks that a tier has taken in',
    'tier',
    read((t) => t.stored),
  );
  registry.readByLabel(
    'counter',
    'kv_tier_blocks_failed',
    'Blocks that a tier was to give and did not: damaged, foreign or gone',
    'tier',
    read((t) => t.failed),
  );
  registry.readByLabel(
    'counter',
    'kv_tier_blocks_dropped',
    'Blocks that a tier was to take in and did not, for lack of room or time',
    'tier',
    read((t) => t.dropped),
  );
}
