import type { Engine } from '../../engine/client/engine-port.js';
import type { Clock } from '../../engine/clock.js';
import type { SequenceObserver } from '../../engine/generation/generate-text.js';
import { addEngineMetrics, type ShownSettings } from './engine-metrics.js';
import { MetricRegistry } from './metric-registry.js';
import { type ObservedRequest, RequestMetrics, type TokenListener } from './request-metrics.js';

export interface ModelMetricsOptions {
  readonly engine: Engine;
  readonly modelName: string;
  readonly clock: Clock;
  readonly settings: ShownSettings;
  readonly prefix: string;
}

/**
 * What `/metrics` shows of one model: its engine, its requests and their tokens, with its name as a
 * label.
 */
export class ModelMetrics {
  readonly registry: MetricRegistry;
  /** On all metrics of this model. `engine` is vLLM's: a model has one here. */
  readonly labels: Readonly<Record<string, string>>;
  readonly #requests: RequestMetrics;

  constructor({ engine, modelName, clock, settings, prefix }: ModelMetricsOptions) {
    this.labels = { model_name: modelName, engine: '0' };
    this.registry = new MetricRegistry(prefix, this.labels);
    addEngineMetrics(this.registry, engine, settings);
    const { maxModelLength } = engine.info;
    this.#requests = new RequestMetrics(this.registry, clock, {
      maxModelLength,
      prefixCaching: settings.enablePrefixCaching,
      hasTiers: engine.stats.tiers !== undefined,
    });
  }

  countEmbedding(...prompt: Parameters<RequestMetrics['countEmbedding']>): void {
    this.#requests.countEmbedding(...prompt);
  }

  observe(request: ObservedRequest): SequenceObserver[] {
    return this.#requests.observe(request);
  }

  /** @returns what ends it */
  listen(listener: TokenListener): () => void {
    return this.#requests.listen(listener);
  }
}
