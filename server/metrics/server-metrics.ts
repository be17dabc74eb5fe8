import type { Engine } from '../../engine/client/engine-port.js';
import type { Clock } from '../../engine/clock.js';
import type { OctavoError } from '../../engine/errors.js';
import type { SequenceObserver } from '../../engine/generation/generate-text.js';
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
export const REJECTIONS = [
  'draining',
  'overloaded',
  'rate_limited',
  'context_length_exceeded',
] as const satisfies OctavoError['kind'][];

type Rejection = (typeof REJECTIONS)[number];

const isRejection = (kind: OctavoError['kind']): kind is Rejection =>
  (REJECTIONS as readonly string[]).includes(kind);

/** Hears of what the metrics count, when they do. */
export interface MetricsListener extends TokenListener {
  /** @param ofApi of a route that does the server's work, not of one that shows how it does */
  answered(status: number, ofApi: boolean): void;
  rejected(reason: Rejection): void;
}

/** All that `/metrics` shows, with vLLM's names so that its dashboards work. */
export class ServerMetrics {
  readonly #registry: MetricRegistry;
  readonly #requests: RequestMetrics;
  readonly #http: Counter;
  readonly #rejections: Counter;
  readonly #listeners = new Set<MetricsListener>();

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
    for (const listener of this.#listeners) listener.answered(status, route.startsWith('/v1/'));
  }

  /** Counts an error if it turned a request away. */
  countRejection(error: OctavoError): void {
    const { kind } = error;
    if (!isRejection(kind)) return;
    this.#rejections.inc({ reason: kind });
    for (const listener of this.#listeners) listener.rejected(kind);
  }

  countEmbedding(arrivedAt: number, promptTokens: number, cachedTokens: number): void {
    this.#requests.countEmbedding(arrivedAt, promptTokens, cachedTokens);
  }

  /** @returns what ends it */
  listen(listener: MetricsListener): () => void {
    const stop = this.#requests.listen(listener);
    this.#listeners.add(listener);
    return () => {
      stop();
      this.#listeners.delete(listener);
    };
  }

  observe(request: ObservedRequest): SequenceObserver[] {
    return this.#requests.observe(request);
  }
}
