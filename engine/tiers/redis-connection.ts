import { readFile } from 'node:fs/promises';
import { Cluster, Redis } from 'ioredis';
import { OctavoError } from '../errors.js';
import type { TlsFiles } from '../protocol/options.js';

/** One server, or a cluster. */
export type RedisClient = Redis | Cluster;

const CONNECT_TIMEOUT_MS = 3000;

/** Milliseconds after which a command has failed: sequences wait for it. */
const COMMAND_TIMEOUT_MS = 1000;

const CONNECTION = {
  lazyConnect: true,
  connectTimeout: CONNECT_TIMEOUT_MS,
  commandTimeout: COMMAND_TIMEOUT_MS,
  maxRetriesPerRequest: 0,
};

/** Milliseconds until the next attempt to connect. */
const later = (attempt: number): number => Math.min(100 * attempt, 5000);

/**
 * Connects, and reconnects whenever the connection is lost; commands fail at once meanwhile. A
 * server that is part of a cluster leads to all of it.
 *
 * @param url `redis://` or, with TLS, `rediss://`, with user and password for the server's ACL
 * @param mustAnswer false: what cannot be reached now may be reached later
 * @throws OctavoError `redis_unreachable` with the reason; `usage` for a file that cannot be read
 */
export async function connectTier(
  url: string,
  mustAnswer: boolean,
  files: TlsFiles = {},
): Promise<RedisClient> {
  const tls = await readTls(files);
  const redis = new Redis(url, {
    ...CONNECTION,
    enableOfflineQueue: false,
    retryStrategy: later,
    ...(tls && { tls }),
  });
  let reason: string | null = null;
  redis.on('error', (error: Error) => {
    reason = error.message;
  });
  try {
    await redis.connect();
    await redis.ping();
    const isCluster = (await redis.info('cluster')).includes('cluster_enabled:1');
    if (!isCluster) return redis;
    const cluster = await connectCluster(redis);
    redis.disconnect();
    return cluster;
  } catch (cause) {
    if (!mustAnswer) return redis;
    redis.disconnect();
    const { host } = new URL(url);
    // What the promise rejects with says less: that the connection is closed.
    const why = reason ?? (cause as Error).message;
    throw new OctavoError('redis_unreachable', `--kv-tier: no Redis answers at ${host}: ${why}`, {
      param: '--kv-tier',
      cause,
    });
  }
}

/** What the files hold; null for none. */
async function readTls(files: TlsFiles): Promise<Record<string, Buffer> | null> {
  const read: [string, Buffer][] = [];
  for (const [name, path] of Object.entries(files) as [keyof TlsFiles, string][]) {
    try {
      read.push([name, await readFile(path)]);
    } catch (cause) {
      const param = `--kv-tier-${name}`;
      const reason = (cause as NodeJS.ErrnoException).code ?? String(cause);
      throw new OctavoError('usage', `${param} ${path}: cannot be read (${reason})`, {
        param,
        cause,
      });
    }
  }
  return read.length > 0 ? Object.fromEntries(read) : null;
}

/** @param first a member, whose address and credentials are those of all */
async function connectCluster(first: Redis): Promise<Cluster> {
  const { host = 'localhost', port = 6379, username, password, tls } = first.options;
  const cluster = new Cluster([{ host, port }], {
    lazyConnect: true,
    enableOfflineQueue: false,
    slotsRefreshTimeout: COMMAND_TIMEOUT_MS,
    clusterRetryStrategy: later,
    // Names of certificates are those of the nodes' addresses.
    ...(tls && { dnsLookup: (address, callback) => callback(null, address) }),
    redisOptions: {
      ...CONNECTION,
      ...(username !== undefined && { username }),
      ...(password !== undefined && { password }),
      ...(tls && { tls }),
    },
  });
  cluster.on('error', () => undefined);
  await cluster.connect();
  return cluster;
}
