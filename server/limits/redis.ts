import { Redis } from 'ioredis';
import type { Logger } from 'pino';
import { OctavoError } from '../../engine/errors.js';

/** Milliseconds after which a command has failed, because a request waits for it. */
const COMMAND_TIMEOUT_MS = 1000;

/**
 * Connects, and reconnects whenever the connection is lost; commands fail at once meanwhile.
 *
 * @throws OctavoError `redis_unreachable` when there is no answer now
 */
export async function connectRedis(url: string, logger: Logger): Promise<Redis> {
  const redis = new Redis(url, {
    lazyConnect: true,
    connectTimeout: 3000,
    commandTimeout: COMMAND_TIMEOUT_MS,
    maxRetriesPerRequest: 0,
    enableOfflineQueue: false,
    retryStrategy: (attempt) => Math.min(100 * attempt, 5000),
  });
  let reason = 'no answer';
  redis.on('error', (error: Error) => {
    reason = error.message;
    logger.warn({ err: error }, 'redis connection');
  });
  try {
    await redis.connect();
    await redis.ping();
    return redis;
  } catch (error) {
    redis.disconnect();
    const { host } = new URL(url);
    throw new OctavoError(
      'redis_unreachable',
      `--redis-url: no Redis answers at ${host}: ${reason}`,
      {
        param: '--redis-url',
        cause: error,
      },
    );
  }
}
