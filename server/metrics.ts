import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client';
import type { Clock } from './clock.js';
import type { Engine } from './engine-port.js';
import type { GenerationObserver } from './generation/generate-text.js';

const PREFIX = 'vllm:';

const TTFT_BUCKETS = [
  0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, 20, 40, 80,
  160, 640, 2560,
];
const TOKEN_LATENCY_BUCKETS = [
  0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, 20, 40, 80,
];
const REQUEST_LATENCY_BUCKETS = [
  0.3, 0.5, 0.8, 1, 1.5, 2, 2.5, 5, 10, 15, 20, 30, 40, 50, 60, 120, 240, 480, 960, 1920, 7680,
];

/** 1, 2, 5, 10, ... up to `limit`. */
export function buckets125(limit: number): number[] {
  const buckets: number[] = [];
  for (let power = 1; power <= limit; power *= 10) {
    buckets.push(...[1, 2, 5].map((digit) => digit * power).filter((bound) => bound <= limit));
  }
  return buckets;
}

/**
 * The server's metrics, with vLLM's names so that its dashboards work. The one place that knows the metrics library;
 * every instance has a registry of its own.
 */
export class ServerMetrics {
  readonly #registry = new Registry();
  readonly #clock: Clock;
  readonly #prompt: Counter;
  readonly #cached: Counter;
  readonly #generated: Counter;
  readonly #prefixQueries: Counter;
  readonly #prefixHits: Counter;
  readonly #success: Counter;
  readonly #firstToken: Histogram;
  readonly #interToken: Histogram;
  readonly #latency: Histogram;
  readonly #promptSize: Histogram;
  readonly #outputSize: Histogram;
  readonly #http: Counter;

  constructor(options: {
    engine: Engine;
    modelName: string;
    clock: Clock;
    prefixCaching: boolean;
  }) {
    const { engine, modelName, clock } = options;
    this.#clock = clock;
    this.#registry.setDefaultLabels({ model_name: modelName, engine: '0' });
    const registers = [this.#registry];
    collectDefaultMetrics({ register: this.#registry });
    const gauge = (name: string, help: string, read: () => number): Gauge =>
      new Gauge({
        name: PREFIX + name,
        help,
        registers,
        collect() {
          this.set(read());
        },
      });
    const counter = (
      name: string,
      help: string,
      more: { labelNames?: string[]; shown?: boolean } = {},
    ): Counter => {
      const { labelNames = [], shown = true } = more;
      const into = shown ? registers : [];
      return new Counter({ name: `${PREFIX}${name}_total`, help, labelNames, registers: into });
    };
    const histogram = (name: string, help: string, buckets: number[]): Histogram =>
      new Histogram({ name: PREFIX + name, help, buckets, registers });

    gauge('num_requests_running', 'Requests in the running batch', () => engine.stats.running);
    gauge('num_requests_waiting', 'Requests that wait to run', () => engine.stats.waiting);
    gauge(
      'kv_cache_usage_perc',
      'Share of the KV blocks in use, 0 to 1',
      () => engine.stats.usedBlocks / engine.info.numBlocks,
    );
    new Gauge({
      name: `${PREFIX}cache_config_info`,
      help: 'How the KV cache is set up, in the labels',
      labelNames: ['block_size', 'num_blocks', 'enable_prefix_caching'],
      registers,
    }).set(
      {
        block_size: String(engine.info.blockSize),
        num_blocks: String(engine.info.numBlocks),
        enable_prefix_caching: String(options.prefixCaching),
      },
      1,
    );
    new Counter({
      name: `${PREFIX}num_preemptions_total`,
      help: 'Times that a running request had to give its blocks back',
      registers,
      collect() {
        this.reset();
        this.inc(engine.stats.preemptions);
      },
    });
    this.#prompt = counter('prompt_tokens', 'Prompt tokens of requests that began to run');
    this.#cached = counter('prompt_tokens_cached', 'Prompt tokens taken from the prefix cache');
    this.#generated = counter('generation_tokens', 'Generated tokens');
    // Without the cache nothing is looked up: a count of queries would be wrong.
    const shown = options.prefixCaching;
    const queriesHelp = 'Tokens looked up in the prefix cache';
    this.#prefixQueries = counter('prefix_cache_queries', queriesHelp, { shown });
    this.#prefixHits = counter('prefix_cache_hits', 'Tokens found in the prefix cache', { shown });
    this.#success = counter('request_success', 'Requests that have ended', {
      labelNames: ['finished_reason'],
    });
    this.#firstToken = histogram(
      'time_to_first_token_seconds',
      'From the arrival at the server to the first token',
      TTFT_BUCKETS,
    );
    this.#interToken = histogram(
      'inter_token_latency_seconds',
      'Between two tokens of a request',
      TOKEN_LATENCY_BUCKETS,
    );
    this.#latency = histogram(
      'e2e_request_latency_seconds',
      'From the arrival at the server to the last token',
      REQUEST_LATENCY_BUCKETS,
    );
    const sizes = buckets125(engine.info.maxModelLength);
    this.#promptSize = histogram('request_prompt_tokens', 'Prompt tokens of a request', sizes);
    this.#outputSize = histogram(
      'request_generation_tokens',
      'Generated tokens of a request',
      sizes,
    );
    this.#http = new Counter({
      name: 'http_requests_total',
      help: 'HTTP requests by route and status; 499 when the client left before the answer',
      labelNames: ['method', 'route', 'status'],
      registers,
    });
  }

  get contentType(): string {
    return this.#registry.contentType;
  }

  async render(): Promise<string> {
    return this.#registry.metrics();
  }

  countHttp(method: string, route: string, status: number): void {
    this.#http.inc({ method, route, status: String(status) });
  }

  /** Counts a prompt that was computed for its embedding; see `observe` for `arrivedAt`. */
  countEmbedding(arrivedAt: number, promptTokens: number, cachedTokens: number): void {
    this.#countPrompt(promptTokens, cachedTokens);
    this.#success.inc({ finished_reason: 'stop' });
    this.#promptSize.observe(promptTokens);
    this.#latency.observe((this.#clock.now() - arrivedAt) / 1000);
  }

  #countPrompt(promptTokens: number, cachedTokens: number): void {
    this.#prompt.inc(promptTokens);
    this.#cached.inc(cachedTokens);
    this.#prefixQueries.inc(promptTokens);
    this.#prefixHits.inc(cachedTokens);
  }

  /** @param arrivedAt when the HTTP request came in, by the monotonic clock */
  observe(arrivedAt: number, promptTokens: number): GenerationObserver {
    let lastTokenAt: number | null = null;
    let generated = 0;
    let begun = false;
    return {
      output: (tokens, cachedTokens) => {
        if (!begun && tokens > 0) {
          begun = true;
          this.#countPrompt(promptTokens, cachedTokens);
        }
        if (tokens === 0) return;
        const now = this.#clock.now();
        // Tokens that came in one message share the time since the last one.
        const between = lastTokenAt === null ? tokens - 1 : tokens;
        if (lastTokenAt === null) this.#firstToken.observe((now - arrivedAt) / 1000);
        const share = lastTokenAt === null ? 0 : (now - lastTokenAt) / 1000 / tokens;
        for (let i = 0; i < between; i++) this.#interToken.observe(share);
        lastTokenAt = now;
        generated += tokens;
        this.#generated.inc(tokens);
      },
      end: (reason) => {
        this.#success.inc({ finished_reason: reason });
        this.#promptSize.observe(promptTokens);
        this.#outputSize.observe(generated);
        this.#latency.observe((this.#clock.now() - arrivedAt) / 1000);
      },
    };
  }
}
