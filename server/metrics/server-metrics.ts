import type { Engine } from '../../engine/client/engine-port.js';
import type { Clock } from '../../engine/clock.js';
import type { OctavoError } from '../../engine/errors.js';
import type { CompletionObserver } from '../../engine/generation/generate-text.js';
import { addEngineMetrics } from './engine-metrics.js';
import { type Counter, MetricRegistry } from './metric-registry.js';
import { type ObservedRequest, RequestMetrics, type TokenListener } from './request-metrics.js';

export interface ServerMetricsOptions {
  readonly engine: Engine;
  readonly modelName: string;
  readonly clock: Clock;
  readonly prefixCaching: boolean;
  readonly prefix: string;
}

/** Errors that turn a request away before it runs, though it is well formed. */
const REJECTIONS: ReadonlySet<string> = new Set([
  'draining',
  'overloaded',
  'rate_limited',
  'context_length_exceeded',
] satisfies OctavoError['kind'][]);

/** All that `/metrics` shows, with vLLM's names so that its dashboards work. */
export class ServerMetrics {
  readonly #registry: MetricRegistry;
  readonly #requests: RequestMetrics;
  readonly #http: Counter;
  readonly #rejections: Counter;

  constructor(options: ServerMetricsOptions) {
    const { engine, modelName, clock, prefixCaching, prefix } = options;
    this.#registry = new MetricRegistry(prefix, { model_name: modelName, engine: '0' });
    addEngineMetrics(this.#registry, engine, { prefixCaching });
    const { maxModelLength } = engine.info;
    this.#requests = new RequestMetrics(this.#registry, clock, { maxModelLength, prefixCaching });
    this.#rejections = this.#registry.counter(
      'admission_rejections',
      'Requests that were turned away before they ran',
      ['reason'],
    );
    // A counter that begins with its first event shows no growth by it.
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
    return this.#registry.render();
  }

  countHttp(method: string, route: string, status: number): void {
    this.#http.inc({ method, route, status: String(status) });
  }

  /** Counts an error if it turned a request away. */
  countRejection(error: OctavoError): void {
    if (REJECTIONS.has(error.kind)) this.#rejections.inc({ reason: error.kind });
  }

  countEmbedding(arrivedAt: number, promptTokens: number, cachedTokens: number): void {
    this.#requests.countEmbedding(arrivedAt, promptTokens, cachedTokens);
  }

  /** @returns what ends it */
  listen(listener: TokenListener): () => void {
    return this.#requests.listen(listener);
  }

  observe(request: ObservedRequest): CompletionObserver[] {
    return this.#requests.observe(request);
  }
}
