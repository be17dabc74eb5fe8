import type { Redis } from 'ioredis';
import type { Logger } from 'pino';
import type { Settings } from '../config/settings.js';
import { Admission } from './admission.js';
import { memoryRateLimiter, redisRateLimiter } from './flexible-rate-limiter.js';
import type { RateLimiter } from './rate-limiter.js';

export type LimitSettings = Pick<
  Settings,
  | 'apiKey'
  | 'maxQueuedRequests'
  | 'maxQueuedTokens'
  | 'maxPromptTokens'
  | 'rateLimitRequests'
  | 'rateLimitTokens'
>;

/** @param redis where clients are counted; null: in this process */
export function createAdmission(
  settings: LimitSettings,
  redis: Redis | null,
  logger: Logger,
): Admission {
  const limiter = (name: string, limit: number): RateLimiter | null => {
    if (limit === 0) return null;
    return redis ? redisRateLimiter(name, limit, redis) : memoryRateLimiter(name, limit);
  };
  return new Admission({
    queue: { maxRequests: settings.maxQueuedRequests, maxTokens: settings.maxQueuedTokens },
    maxPromptTokens: settings.maxPromptTokens,
    requests: limiter('requests', settings.rateLimitRequests),
    tokens: limiter('tokens', settings.rateLimitTokens),
    keyed: settings.apiKey.length > 0,
    logger,
  });
}
