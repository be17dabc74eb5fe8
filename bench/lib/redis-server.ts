import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { freePort } from './free-port.js';

export interface RedisServer {
  readonly url: string;
  /** Ends the process at once. Idempotent. */
  kill(): Promise<void>;
}

/** A redis-server of its own on a free port, which keeps nothing on disk. */
export async function startRedis(): Promise<RedisServer> {
  const port = await freePort();
  return { url: `redis://127.0.0.1:${port}`, kill: await spawnRedis(['--port', String(port)]) };
}

/**
 * Starts a redis-server that keeps nothing on disk, and waits until it serves. It ends with this
 * process.
 *
 * @param args where it listens, and what else is its own
 * @returns ends the process at once; idempotent
 * @throws Error when it is not installed, or does not start
 */
export async function spawnRedis(args: readonly string[]): Promise<() => Promise<void>> {
  const child: ChildProcess = spawn(
    'redis-server',
    [...args, '--bind', '127.0.0.1', '--save', '', '--appendonly', 'no'],
    { stdio: ['ignore', 'pipe', 'ignore'] },
  );
  const end = (): void => void child.kill('SIGKILL');
  process.once('exit', end);
  child.once('exit', () => process.off('exit', end));
  await new Promise<void>((resolve, reject) => {
    child.once('error', reject);
    child.once('exit', (code) => reject(new Error(`redis-server ended with ${code}`)));
    let output = '';
    child.stdout?.on('data', (chunk: Buffer) => {
      output += chunk.toString();
      if (output.includes('Ready to accept connections')) resolve();
    });
  });
  return async () => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    child.kill('SIGKILL');
    await once(child, 'exit');
  };
}
