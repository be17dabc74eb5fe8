import type { Redis } from 'ioredis';
import {
  type RateLimiterAbstract,
  RateLimiterMemory,
  RateLimiterRedis,
  RateLimiterRes,
} from 'rate-limiter-flexible';
import type { Budget, RateLimiter } from './rate-limiter.js';

const WINDOW_SECONDS = 60;

/** A budget per minute, counted in this process. */
export function memoryRateLimiter(name: string, limit: number): RateLimiter {
  return new FlexibleRateLimiter(
    limit,
    new RateLimiterMemory({ keyPrefix: name, points: limit, duration: WINDOW_SECONDS }),
  );
}

/**
 * A budget per minute that all processes with the same Redis share. Rejects when Redis does not
 * answer.
 */
export function redisRateLimiter(name: string, limit: number, redis: Redis): RateLimiter {
  return new FlexibleRateLimiter(
    limit,
    new RateLimiterRedis({
      storeClient: redis,
      keyPrefix: `octavo:${name}`,
      points: limit,
      duration: WINDOW_SECONDS,
    }),
  );
}

/** The port over the rate-limiter-flexible package. */
class FlexibleRateLimiter implements RateLimiter {
  readonly limit: number;
  readonly #limiter: RateLimiterAbstract;

  constructor(limit: number, limiter: RateLimiterAbstract) {
    this.limit = limit;
    this.#limiter = limiter;
  }

  async charge(client: string, amount: number): Promise<Budget & { readonly allowed: boolean }> {
    try {
      return { ...this.#budget(await this.#limiter.consume(client, amount)), allowed: true };
    } catch (refusal) {
      if (!(refusal instanceof RateLimiterRes)) throw refusal;
      // The package counts what it refuses, too; a client that asks too early would never get in
      // again.
      await this.#limiter.reward(client, amount);
      const { resetMs } = this.#budget(refusal);
      const consumed = refusal.consumedPoints - amount;
      const remaining = Math.max(0, this.limit - consumed);
      return { limit: this.limit, remaining, resetMs, allowed: false };
    }
  }

  async refund(client: string, amount: number): Promise<void> {
    if (amount <= 0) return;
    // Without a window there is nothing to give back to: a reward would begin one below zero.
    const current = await this.#limiter.get(client);
    if (current === null || current.consumedPoints <= 0) return;
    await this.#limiter.reward(client, Math.min(amount, current.consumedPoints));
  }

  #budget(result: RateLimiterRes): Budget {
    const { remainingPoints, msBeforeNext } = result;
    return { limit: this.limit, remaining: remainingPoints, resetMs: Math.max(0, msBeforeNext) };
  }
}
