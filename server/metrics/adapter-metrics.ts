import type { Engine } from '../../engine/client/engine-port.js';
import type { Clock } from '../../engine/clock.js';
import type { MetricRegistry } from './metric-registry.js';

const LABELS = ['max_lora', 'running_lora_adapters', 'waiting_lora_adapters'];

/** vLLM's, by which the Gateway API's endpoint picker finds the server that has an adapter. */
export function addAdapterMetrics(
  registry: MetricRegistry,
  engine: Engine,
  maxLoras: number,
  clock: Clock,
): void {
  if (!engine.adapters) return;
  registry.readInfo(
    'lora_requests_info',
    'Adapters with requests, in the labels; the value is the time of the reading',
    LABELS,
    () => {
      const { running = [], waiting = [] } = engine.stats.adapters ?? {};
      const values = [String(maxLoras), running.join(), waiting.join()];
      const labels = Object.fromEntries(LABELS.map((label, i) => [label, values[i]]));
      return { labels, figure: clock.unixSeconds() };
    },
  );
}
