import type { OctavoError } from '../../engine/errors.js';
import { type Counter, MetricRegistry, renderAll } from './metric-registry.js';
import type { ModelMetrics } from './model-metrics.js';

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
  readonly #models: readonly ModelMetrics[];
  readonly #http: Counter;
  readonly #rejections: Counter;
  readonly #listeners = new Set<HttpListener>();

  /** @param prefix see `MetricRegistry` */
  constructor(models: readonly ModelMetrics[], prefix: string) {
    this.#models = models;
    this.#registry = new MetricRegistry(prefix, models.length === 1 ? models[0].labels : {});
    this.#registry.collectProcess();
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

  get contentType(): string {
    return this.#registry.contentType;
  }

  async render(): Promise<string> {
    return renderAll([this.#registry, ...this.#models.map(({ registry }) => registry)]);
  }

  countHttp(method: string, route: string, status: number): void {
    this.#http.inc({ method, route, status: String(status) });
    for (const listener of this.#listeners) listener.answered(status, route.startsWith('/v1/'));
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
