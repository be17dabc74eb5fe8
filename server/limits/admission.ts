import type { FastifyReply, FastifyRequest } from 'fastify';
import type { Logger } from 'pino';
import { OctavoError } from '../../engine/errors.js';
import type { LimitTable } from './client-limits.js';
import type { Cost } from './cost.js';
import type { EngineLoad } from './expected-wait.js';
import { Queue, type QueuedRequest, type QueueLimits } from './queue.js';
import type { Budget, RateLimiter } from './rate-limiter.js';
import type { Progress, SlotTimes } from './slot-forecast.js';

export interface AdmissionOptions {
  readonly queue: QueueLimits;
  /** Maximum tokens of one prompt; 0 for the context's length. */
  readonly maxPromptTokens: number;
  /** What each client may take; the models of a server share it. */
  readonly limits: Pick<LimitTable, 'of'>;
  readonly logger: Logger;
  readonly load: () => EngineLoad;
  /** Monotonic clock, milliseconds. */
  readonly now: () => number;
  /** Uniform in [0, 1). */
  readonly random: () => number;
}

/** An admitted request. */
export interface Admitted {
  /**
   * Called once, when it has ended: what it did not use of its tokens is given back, in the
   * background.
   */
  end(usedTokens: number, times: SlotTimes): void;
}

/**
 * Decides which requests may run now: size, queue, and each client's budget of requests and tokens.
 */
export class Admission {
  readonly #options: AdmissionOptions;
  readonly #queue: Queue;

  constructor(options: AdmissionOptions) {
    this.#options = options;
    this.#queue = new Queue(options.queue, options.load, options.now, options.random);
  }

  /**
   * Check before a request's body is read: an overloaded server must not parse and tokenize what it
   * refuses. The exact check is `admit`.
   *
   * @throws OctavoError `overloaded` when no request of this client, however small, would be let in
   */
  assertRoom(request: FastifyRequest): void {
    this.#queue.assertRoom(this.#options.limits.of(request).client);
  }

  /**
   * @param progress of the request, asked until it has ended
   * @throws OctavoError `context_length_exceeded`, `overloaded`, `rate_limited`
   */
  async admit(
    request: FastifyRequest,
    reply: FastifyReply,
    cost: Cost,
    progress: () => Progress,
  ): Promise<Admitted> {
    const { maxPromptTokens, limits } = this.#options;
    if (maxPromptTokens > 0 && cost.longestPrompt > maxPromptTokens) {
      throw new OctavoError(
        'context_length_exceeded',
        `the prompt has ${cost.longestPrompt} tokens; this server takes at most ${maxPromptTokens}`,
      );
    }
    const { client, requests, tokens, begin } = limits.of(request);
    const { promptTokens, sequences } = cost;
    const maxTokens = cost.maxTokens / sequences;
    const end = begin();
    const queued: QueuedRequest = { client, promptTokens, sequences, maxTokens, progress };
    try {
      this.#queue.enter(queued);
    } catch (error) {
      end();
      throw error;
    }
    try {
      await this.#charge(requests, 'requests', client, 1, reply);
      const charged = cost.promptTokens + cost.maxTokens;
      await this.#charge(tokens, 'tokens', client, charged, reply);
      return {
        end: (usedTokens, times) => {
          end();
          this.#queue.leave(queued, times);
          if (tokens) void this.#ask(() => tokens.refund(client, charged - usedTokens));
        },
      };
    } catch (error) {
      end();
      this.#queue.leave(queued, { queueMs: null, prefillMs: null });
      throw error;
    }
  }

  async #charge(
    limiter: RateLimiter | null,
    unit: 'requests' | 'tokens',
    client: string,
    amount: number,
    reply: FastifyReply,
  ): Promise<void> {
    if (!limiter) return;
    if (amount > limiter.limit) {
      throw new OctavoError(
        'invalid_request',
        `the request may take ${amount} ${unit}; the limit is ${limiter.limit} ${unit} per minute`,
      );
    }
    const budget = await this.#ask(() => limiter.charge(client, amount));
    if (!budget) return;
    setHeaders(reply, unit, budget);
    if (budget.allowed) return;
    const seconds = Math.max(1, Math.ceil(budget.resetMs / 1000));
    throw new OctavoError(
      'rate_limited',
      `rate limit reached: ${limiter.limit} ${unit} per minute; ${amount} asked for, ${budget.remaining} left. ` +
        `Try again in ${seconds} s`,
      { retryAfterSeconds: seconds },
    );
  }

  /**
   * If the counter does not answer, service continues: the request is admitted without being
   * counted, and the log says so.
   */
  async #ask<Answer>(question: () => Promise<Answer>): Promise<Answer | null> {
    try {
      return await question();
    } catch (error) {
      this.#options.logger.error({ err: error }, 'rate limits cannot be counted');
      return null;
    }
  }
}

/** OpenAI's headers. */
function setHeaders(reply: FastifyReply, unit: string, budget: Budget): void {
  reply.header(`x-ratelimit-limit-${unit}`, String(budget.limit));
  reply.header(`x-ratelimit-remaining-${unit}`, String(budget.remaining));
  reply.header(`x-ratelimit-reset-${unit}`, `${Math.ceil(budget.resetMs / 1000)}s`);
}
