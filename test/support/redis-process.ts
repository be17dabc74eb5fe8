import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { Redis } from 'ioredis';
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
  const child: ChildProcess = spawn(
    'redis-server',
    [...listen, '--bind', '127.0.0.1', '--save', '', '--appendonly', 'no', ...args],
    { stdio: ['ignore', 'pipe', 'ignore'] },
  );
  const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  await new Promise<void>((resolve, reject) => {
    child.once('error', reject);
    child.once('exit', (code) => reject(new Error(`redis-server ended with ${code}`)));
    let output = '';
    child.stdout?.on('data', (chunk: Buffer) => {
      output += chunk.toString();
      if (output.includes('Ready to accept connections')) resolve();
    });
  });
  return {
    url: `redis${tls ? 's' : ''}://127.0.0.1:${port}`,
    stop: async () => {
      child.kill('SIGKILL');
      await ended;
    },
  };
}

function tlsArgs({ cert, key, ca, wantsCertificates }: NonNullable<RedisOptions['tls']>): string[] {
  const files = ['--tls-cert-file', cert, '--tls-key-file', key, '--tls-ca-cert-file', ca];
  return [...files, '--tls-auth-clients', wantsCertificates ? 'yes' : 'no'];
}

export async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  return typeof address === 'object' && address ? address.port : 0;
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
