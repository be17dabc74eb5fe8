import type { Engine } from '../../engine/client/engine-port.js';
import type { Clock } from '../../engine/clock.js';
import type { SequenceObserver } from '../../engine/generation/generate-text.js';
import type { ImageCounts } from '../../engine/generation/prompts/prompt-maker.js';
import { addAdapterMetrics } from './adapter-metrics.js';
import { addEngineMetrics, type ShownSettings } from './engine-metrics.js';
import { addImageMetrics } from './image-metrics.js';
import { MetricRegistry } from './metric-registry.js';
import { type ObservedRequest, RequestMetrics, type TokenListener } from './request-metrics.js';

export interface ModelMetricsOptions {
  readonly engine: Engine;
  readonly modelName: string;
  readonly clock: Clock;
  readonly settings: ShownSettings & { readonly maxLoras: number };
  /** Absent for a model that reads text alone. */
  readonly images?: ImageCounts | undefined;
  readonly prefix: string;
}

/** On all metrics of a model. `engine` is vLLM's: a model has one here. */
export const modelLabels = (name: string): Readonly<Record<string, string>> => ({
  model_name: name,
  engine: '0',
});

/**
 * What `/metrics` shows of one model: its engine, its requests and their tokens, with its name as a
 * label.
 */
export class ModelMetrics {
  readonly registry: MetricRegistry;
  readonly #requests: RequestMetrics;

  constructor({ engine, modelName, clock, settings, images, prefix }: ModelMetricsOptions) {
    this.registry = new MetricRegistry(prefix, modelLabels(modelName));
    addEngineMetrics(this.registry, engine, settings);
    addAdapterMetrics(this.registry, engine, settings.maxLoras, clock);
    addImageMetrics(this.registry, images);
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
