import type { Clock } from '../../engine/clock.js';
import type { EndReason, SequenceObserver } from '../../engine/generation/generate-text.js';
import {
  buckets125,
  COMPLETIONS,
  REQUEST_SECONDS,
  TOKEN_SECONDS,
  TTFT_SECONDS,
} from './buckets.js';
import type { MetricRegistry } from './metric-registry.js';

const END_REASONS: readonly EndReason[] = ['stop', 'length', 'repetition', 'abort', 'error'];

/** An engine request, at its submission. */
export interface ObservedRequest {
  /** When the HTTP request came in, by the monotonic clock. */
  readonly arrivedAt: number;
  readonly promptTokens: number;
  /** Completions of the prompt. */
  readonly completions: number;
  /** Of each completion. */
  readonly maxTokens: number;
}

/** Listens to tokens along with the metrics. Times are in seconds. */
export interface TokenListener {
  /** A prompt that began to run. */
  prompt(tokens: number, cachedTokens: number): void;
  /** Since its request arrived. */
  firstToken(seconds: number): void;
  /** New tokens of a completion, of which `between` came `seconds` after the one before them. */
  generated(tokens: number, between: number, seconds: number): void;
}

/** Counters and histograms of requests and their tokens. */
export class RequestMetrics {
  readonly #clock: Clock;
  readonly #metrics: ReturnType<typeof defineMetrics>;
  readonly #hasTiers: boolean;
  readonly #listeners = new Set<TokenListener>();

  constructor(registry: MetricRegistry, clock: Clock, options: RequestMetricsOptions) {
    this.#clock = clock;
    this.#metrics = defineMetrics(registry, options);
    this.#hasTiers = options.hasTiers;
    for (const reason of END_REASONS) this.#metrics.success.inc({ finished_reason: reason }, 0);
  }

  /**
   * @returns one observer for each completion. What concerns the prompt is booked once, with the
   *   first one that begins.
   */
  observe(request: ObservedRequest): SequenceObserver[] {
    const m = this.#metrics;
    m.completions.observe(request.completions);
    m.maxTokens.observe(request.maxTokens);
    const shared = { begun: false, open: request.completions, longest: 0 };
    return Array.from({ length: request.completions }, () => this.#completion(request, shared));
  }

  /** @returns a function that removes the listener */
  listen(listener: TokenListener): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  /** Books a prompt that was computed for its embedding; `arrivedAt` as in `ObservedRequest`. */
  countEmbedding(
    arrivedAt: number,
    promptTokens: number,
    cachedTokens: number,
    tierTokens = 0,
  ): void {
    const m = this.#metrics;
    this.#countPrompt(promptTokens, cachedTokens, tierTokens);
    m.success.inc({ finished_reason: 'stop' });
    m.promptSize.observe(promptTokens);
    m.latency.observe((this.#clock.now() - arrivedAt) / 1000);
  }

  #countPrompt(promptTokens: number, cachedTokens: number, tierTokens: number): void {
    const m = this.#metrics;
    const inPages = cachedTokens - tierTokens;
    m.promptTokens.inc(promptTokens);
    m.cachedTokens.inc(cachedTokens);
    m.prefixQueries?.inc(promptTokens);
    m.prefixHits?.inc(inPages);
    if (this.#hasTiers) m.tierQueries.inc(promptTokens - inPages);
    m.tierHits.inc(tierTokens);
    m.computed.observe(promptTokens - cachedTokens);
    for (const listener of this.#listeners) listener.prompt(promptTokens, cachedTokens);
  }

  #completion(
    request: ObservedRequest,
    shared: { begun: boolean; open: number; longest: number },
  ): SequenceObserver {
    const m = this.#metrics;
    const { promptTokens, arrivedAt } = request;
    let generated = 0;
    let firstAt = 0;
    let lastAt = 0;
    let prefill = 0;
    return {
      output: (tokens, cachedTokens, times, tierTokens = 0) => {
        // A prompt that is only computed has times, and no tokens.
        if (!shared.begun && (tokens > 0 || times)) {
          shared.begun = true;
          this.#countPrompt(promptTokens, cachedTokens, tierTokens);
        }
        if (tokens === 0) return;
        const now = this.#clock.now();
        if (generated === 0) {
          firstAt = now;
          m.firstToken.observe((now - arrivedAt) / 1000);
          for (const listener of this.#listeners) listener.firstToken((now - arrivedAt) / 1000);
          if (times) {
            prefill = times.prefill;
            m.queued.observe(times.queued / 1000);
            m.prefill.observe(prefill / 1000);
          }
        }
        // Tokens that came in one message share the time since the last one.
        const between = generated === 0 ? tokens - 1 : tokens;
        const share = generated === 0 ? 0 : (now - lastAt) / 1000 / tokens;
        for (let i = 0; i < between; i++) m.interToken.observe(share);
        for (const listener of this.#listeners) listener.generated(tokens, between, share);
        lastAt = now;
        generated += tokens;
        m.generatedTokens.inc(tokens);
      },
      end: (reason) => {
        m.success.inc({ finished_reason: reason });
        m.latency.observe((this.#clock.now() - arrivedAt) / 1000);
        m.promptSize.observe(promptTokens);
        m.outputSize.observe(generated);
        shared.longest = Math.max(shared.longest, generated);
        shared.open -= 1;
        if (shared.open === 0) m.longestOutput.observe(shared.longest);
        if (generated === 0) return;
        const decode = lastAt - firstAt;
        m.decode.observe(decode / 1000);
        m.inference.observe((prefill + decode) / 1000);
        if (generated > 1) m.perToken.observe(decode / 1000 / (generated - 1));
      },
    };
  }
}

export interface RequestMetricsOptions {
  readonly maxModelLength: number;
  readonly prefixCaching: boolean;
  /** Whether there are tiers behind the KV cache. */
  readonly hasTiers: boolean;
}

function defineMetrics(registry: MetricRegistry, options: RequestMetricsOptions) {
  const sizes = buckets125(options.maxModelLength);
  const seconds = (name: string, help: string) => registry.histogram(name, help, REQUEST_SECONDS);
  const tokens = (name: string, help: string) => registry.histogram(name, help, sizes);
  // Without the cache nothing is looked up: a count of queries would be wrong.
  const cached = (name: string, help: string) =>
    options.prefixCaching ? registry.counter(name, help) : null;
  return {
    promptTokens: registry.counter('prompt_tokens', 'Prompt tokens of requests that began to run'),
    cachedTokens: registry.counter(
      'prompt_tokens_cached',
      'Prompt tokens taken from the prefix cache and its tiers',
    ),
    generatedTokens: registry.counter('generation_tokens', 'Generated tokens'),
    prefixQueries: cached('prefix_cache_queries', 'Tokens looked up in the prefix cache'),
    prefixHits: cached('prefix_cache_hits', 'Tokens found in the prefix cache'),
    tierQueries: registry.counter(
      'external_prefix_cache_queries',
      'Tokens looked up in the tiers behind the prefix cache',
    ),
    tierHits: registry.counter(
      'external_prefix_cache_hits',
      'Tokens found in the tiers behind the prefix cache',
    ),
    success: registry.counter('request_success', 'Completions that have ended', [
      'finished_reason',
    ]),
    firstToken: registry.histogram(
      'time_to_first_token_seconds',
      'From the arrival at the server to the first token',
      TTFT_SECONDS,
    ),
    interToken: registry.histogram(
      'inter_token_latency_seconds',
      'Between two tokens of a completion',
      TOKEN_SECONDS,
    ),
    perToken: registry.histogram(
      'request_time_per_output_token_seconds',
      'Mean time between the tokens of a completion',
      TOKEN_SECONDS,
    ),
    latency: seconds(
      'e2e_request_latency_seconds',
      'From the arrival at the server to the last token',
    ),
    queued: seconds(
      'request_queue_time_seconds',
      'From the arrival at the engine to the first step',
    ),
    prefill: seconds('request_prefill_time_seconds', 'From the first step to the first token'),
    decode: seconds('request_decode_time_seconds', 'From the first token to the last'),
    inference: seconds('request_inference_time_seconds', 'From the first step to the last token'),
    promptSize: tokens('request_prompt_tokens', 'Prompt tokens of a completion'),
    outputSize: tokens('request_generation_tokens', 'Generated tokens of a completion'),
    longestOutput: tokens(
      'request_max_num_generation_tokens',
      "Generated tokens of a request's longest completion",
    ),
    maxTokens: tokens('request_params_max_tokens', 'Tokens that a completion may have'),
    computed: tokens(
      'request_prefill_kv_computed_tokens',
      'Prompt tokens that were computed, not taken from the cache',
    ),
    completions: registry.histogram(
      'request_params_n',
      'Completions that a request asks for',
      COMPLETIONS,
    ),
  };
}
