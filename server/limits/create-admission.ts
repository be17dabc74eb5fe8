import type { Redis } from 'ioredis';
import type { Logger } from 'pino';
import type { Settings } from '../config/settings.js';
import type { KeyTable } from '../keys/key-table.js';
import { Admission } from './admission.js';
import { LimitTable } from './client-limits.js';
import type { EngineLoad } from './expected-wait.js';
import { memoryRateLimiter, redisRateLimiter } from './flexible-rate-limiter.js';

export type LimitSettings = Pick<
  Settings,
  'maxQueuedRequests' | 'maxQueuedTokens' | 'maxQueueTime' | 'maxNumSeqs' | 'maxPromptTokens'
>;

/** @param redis where clients are counted; null: in this process */
export function createLimitTable(
  settings: Pick<Settings, 'rateLimitRequests' | 'rateLimitTokens'>,
  keys: Pick<KeyTable, 'isRequired'>,
  redis: Redis | null,
): LimitTable {
  return new LimitTable({
    keyed: () => keys.isRequired,
    standard: { requests: settings.rateLimitRequests, tokens: settings.rateLimitTokens },
    createLimiter: (unit, limit) =>
      redis ? redisRateLimiter(unit, limit, redis) : memoryRateLimiter(unit, limit),
  });
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
  limits: LimitTable,
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
    limits,
    logger,
    load,
    now,
    random,
  });
}
