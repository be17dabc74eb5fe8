import type { Redis } from 'ioredis';
import type { Logger } from 'pino';
import type { Settings } from '../config/settings.js';
import { Admission } from './admission.js';
import type { EngineLoad } from './expected-wait.js';
import { memoryRateLimiter, redisRateLimiter } from './flexible-rate-limiter.js';
import type { RateLimiter } from './rate-limiter.js';

export type LimitSettings = Pick<
  Settings,
  | 'apiKey'
  | 'maxQueuedRequests'
  | 'maxQueuedTokens'
  | 'maxQueueTime'
  | 'maxNumSeqs'
  | 'maxPromptTokens'
  | 'rateLimitRequests'
  | 'rateLimitTokens'
>;

/** What each client may ask for in a minute, whichever model it asks. Null: any number. */
export interface RateLimits {
  readonly requests: RateLimiter | null;
  readonly tokens: RateLimiter | null;
}

/** @param redis where clients are counted; null: in this process */
export function createRateLimits(
  settings: Pick<LimitSettings, 'rateLimitRequests' | 'rateLimitTokens'>,
  redis: Redis | null,
): RateLimits {
  const limiter = (name: string, limit: number): RateLimiter | null => {
    if (limit === 0) return null;
    return redis ? redisRateLimiter(name, limit, redis) : memoryRateLimiter(name, limit);
  };
  return {
    requests: limiter('requests', settings.rateLimitRequests),
    tokens: limiter('tokens', settings.rateLimitTokens),
  };
}

/**
 * Of one model: its queue is its own.
 *
 * @param load of the engine, at most a step old
 * @param now monotonic clock, milliseconds
 * @param random uniform in [0, 1)
 */
export function createAdmission(
  settings: LimitSettings,
  limits: RateLimits,
  logger: Logger,
  load: () => EngineLoad,
  now: () => number,
  random: () => number,
): Admission {
  return new Admission({
    queue: {
      maxRequests: settings.maxQueuedRequests,
      maxTokens: settings.maxQueuedTokens,
      maxSeconds: settings.maxQueueTime,
      slots: settings.maxNumSeqs,
    },
    maxPromptTokens: settings.maxPromptTokens,
    ...limits,
    keyed: settings.apiKey.length > 0,
    logger,
    load,
    now,
    random,
  });
}
