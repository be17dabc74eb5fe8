import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { Redis } from 'ioredis';
import { freePort } from '../../bench/lib/free-port.js';
import { spawnRedis } from '../../bench/lib/redis-server.js';
import type { KeyPair } from './tls-files.js';

export interface RedisProcess {
  readonly url: string;
  stop(): Promise<void>;
}

export interface RedisOptions {
  /** Default: a free one. */
  readonly port?: number;
  readonly args?: readonly string[];
  /** Its certificate: then it takes TLS only. */
  readonly tls?: KeyPair & { readonly ca: string; readonly wantsCertificates?: boolean };
}

/** A real redis-server on a free port that keeps nothing on disk. */
export async function startRedis(options: RedisOptions = {}): Promise<RedisProcess> {
  const { port = await freePort(), args = [], tls } = options;
  const listen = tls
    ? ['--port', '0', '--tls-port', String(port), ...tlsArgs(tls)]
    : ['--port', String(port)];
  const stop = await spawnRedis([...listen, ...args]);
  return { url: `redis${tls ? 's' : ''}://127.0.0.1:${port}`, stop };
}

function tlsArgs({ cert, key, ca, wantsCertificates }: NonNullable<RedisOptions['tls']>): string[] {
  const files = ['--tls-cert-file', cert, '--tls-key-file', key, '--tls-ca-cert-file', ca];
  return [...files, '--tls-auth-clients', wantsCertificates ? 'yes' : 'no'];
}

/** Slots of a cluster. */
const SLOTS = 16_384;

/** Three real servers that share the slots of a cluster; the URL is the first one's. */
export async function startRedisCluster(): Promise<RedisProcess> {
  const directory = mkdtempSync(join(tmpdir(), 'octavo-redis-'));
  const nodes = await Promise.all(
    [0, 1, 2].map((n) =>
      startRedis({
        args: ['--cluster-enabled', 'yes', '--cluster-config-file', join(directory, `${n}.conf`)],
      }),
    ),
  );
  const clients = nodes.map(({ url }) => new Redis(url));
  const [first] = clients;
  for (const [n, client] of clients.entries()) {
    const [from, to] = [n, n + 1].map((part) => Math.floor((part * SLOTS) / nodes.length));
    await client.call('CLUSTER', 'ADDSLOTSRANGE', from, to - 1);
    if (n === 0) continue;
    const { port } = new URL(nodes[n].url);
    await first.call('CLUSTER', 'MEET', '127.0.0.1', port);
  }
  const isReady = async (client: Redis): Promise<boolean> => {
    const info = String(await client.call('CLUSTER', 'INFO'));
    return info.includes('cluster_state:ok') && info.includes('cluster_known_nodes:3');
  };
  for (;;) {
    const ready = await Promise.all(clients.map(isReady));
    if (ready.every(Boolean)) break;
    await setTimeout(50);
  }
  for (const client of clients) client.disconnect();
  return {
    url: nodes[0].url,
    stop: async () => {
      await Promise.all(nodes.map((node) => node.stop()));
    },
  };
}
