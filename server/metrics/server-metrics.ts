import type { OctavoError } from '../../engine/errors.js';
import type { KeyUsage } from '../keys/key-usage.js';
import { type Counter, MetricRegistry, renderAll } from './metric-registry.js';
import { type ModelMetrics, modelLabels } from './model-metrics.js';

/** Errors that refuse a well-formed request before it runs. */
export const REJECTIONS = [
  'draining',
  'overloaded',
  'rate_limited',
  'context_length_exceeded',
] as const satisfies OctavoError['kind'][];

type Rejection = (typeof REJECTIONS)[number];

const isRejection = (kind: OctavoError['kind']): kind is Rejection =>
  (REJECTIONS as readonly string[]).includes(kind);

/** A model, as far as its metrics need it. */
export interface MeasuredModel {
  readonly name: string;
  readonly metrics: ModelMetrics;
}

/** Listens to the events that the metrics count. */
export interface HttpListener {
  /** @param isApi of a route that does the server's work, not of one that shows how it does */
  answered(status: number, isApi: boolean): void;
  rejected(reason: Rejection): void;
}

/**
 * All that `/metrics` shows, with vLLM's names so that its dashboards work: of HTTP and the process
 * here, and of each model by its own metrics. What concerns the whole server has the model's labels
 * where one model is served, and none where there are several.
 */
export class ServerMetrics {
  readonly #registry: MetricRegistry;
  readonly #models = new Set<ModelMetrics>();
  readonly #http: Counter;
  readonly #rejections: Counter;
  readonly #loads: Counter;
  readonly #unloads: Counter;
  readonly #listeners = new Set<HttpListener>();

  /**
   * @param models the names of those that are known at the start
   * @param prefix see `MetricRegistry`
   */
  constructor(models: readonly string[], prefix: string) {
    this.#registry = new MetricRegistry(prefix, models.length === 1 ? modelLabels(models[0]) : {});
    this.#registry.collectProcess();
    this.#registry.gauge('models_loaded', 'Models that are loaded', () => this.#models.size);
    this.#loads = this.#registry.counter('model_loads', 'Models that were loaded', ['model_name']);
    this.#unloads = this.#registry.counter('model_unloads', 'Models that were unloaded', [
      'model_name',
    ]);
    this.#rejections = this.#registry.counter(
      'admission_rejections',
      'Requests that were turned away before they ran',
      ['reason'],
    );
    // Starts counters at 0: a counter that appears with its first event shows no increase.
    for (const reason of REJECTIONS) this.#rejections.inc({ reason }, 0);
    this.#http = this.#registry.counter(
      'http_requests',
      'HTTP requests by route and status; 499 when the client left before the answer',
      ['method', 'route', 'status'],
    );
  }

  /** Counts what each key has used. Only checked keys are counted: their number is bounded. */
  watchKeys({ totals }: Pick<KeyUsage, 'totals'>): void {
    const counters = [
      ['key_requests', 'Requests of a key', 'requests'],
      ['key_prompt_tokens', 'Prompt tokens of a key', 'promptTokens'],
      ['key_generation_tokens', 'Generated tokens of a key', 'completionTokens'],
    ] as const;
    for (const [name, help, field] of counters) {
      this.#registry.readByLabel('counter', name, help, 'key', () =>
        [...totals].map(([key, counts]) => [key, counts[field]]),
      );
    }
  }

  get contentType(): string {
    return this.#registry.contentType;
  }

  async render(): Promise<string> {
    return renderAll([this.#registry, ...[...this.#models].map(({ registry }) => registry)]);
  }

  /** Shows a model's metrics, which begin at 0. */
  loaded({ name, metrics }: MeasuredModel): void {
    this.#models.add(metrics);
    this.#loads.inc({ model_name: name });
  }

  unloading({ name, metrics }: MeasuredModel): void {
    this.#models.delete(metrics);
    this.#unloads.inc({ model_name: name });
  }

  countHttp(method: string, route: string, status: number): void {
    this.#http.inc({ method, route, status: String(status) });
    for (const listener of this.#listeners) listener.answered(status, /^\/(v1|api)\//.test(route));
  }

  /** Counts an error if it refused a request. */
  countRejection(error: OctavoError): void {
    const { kind } = error;
    if (!isRejection(kind)) return;
    this.#rejections.inc({ reason: kind });
    for (const listener of this.#listeners) listener.rejected(kind);
  }

  /** @returns a function that removes the listener */
  listen(listener: HttpListener): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }
}
