import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout } from 'node:timers/promises';
import { freePort } from '../lib/free-port.js';
import { startOctavo } from '../lib/octavo-server.js';

/** How to start a server with OpenAI's API. */
export type ServerCommand =
  | {
      readonly kind: 'octavo';
      /** Checkout whose compiled server runs. */
      readonly root: string;
      readonly flags: readonly string[];
    }
  | {
      /** One that says by `GET /health` that it serves. */
      readonly kind: 'other';
      readonly command: string;
      /** `{port}` stands for its port. */
      readonly args: readonly string[];
      /** Variables beside those of this process. */
      readonly env: Readonly<Record<string, string>>;
    };

/** The name under which every server serves its model. */
export const SERVED_NAME = 'measured';

/** Of a start that has nothing to compile. */
const START_TIMEOUT_MS = 290_000;
/** Between two questions whether it serves; far less than any start takes. */
const PAUSE_MS = 50;

/** A server in a process of its own, which serves. It ends with this process. */
export class PeerServer {
  readonly url: string;
  readonly #child: ChildProcess;

  private constructor(child: ChildProcess, url: string) {
    this.#child = child;
    this.url = url;
  }

  /** @throws Error when it ends before it serves, or takes longer than `timeoutMs` */
  static async start(
    server: ServerCommand,
    timeoutMs: number = START_TIMEOUT_MS,
  ): Promise<PeerServer> {
    if (server.kind === 'octavo') {
      const name = ['--served-model-name', SERVED_NAME];
      const { child, url } = await startOctavo(server.root, [...name, ...server.flags]);
      return new PeerServer(child, url);
    }
    const port = await freePort();
    const args = server.args.map((word) => word.replace('{port}', String(port)));
    // What it prints is of no interest here, and a line for each request would cost time.
    const child = spawn(server.command, args, {
      stdio: ['ignore', 'ignore', 'inherit'],
      env: { ...process.env, ...server.env },
      // In a group of their own, it and the processes that it starts can be ended together.
      detached: true,
    });
    const end = (): void => endGroup(child);
    process.once('exit', end);
    child.once('exit', () => process.off('exit', end));
    // These do not reach that group, and would end this process without its exit.
    for (const signal of ['SIGINT', 'SIGTERM'] as const)
      process.once(signal, () => process.exit(1));
    const url = `http://127.0.0.1:${port}`;
    await served(`${url}/health`, child, timeoutMs);
    return new PeerServer(child, url);
  }

  /** Of the process that was started; it may have others of its own. */
  get pid(): number {
    const { pid } = this.#child;
    if (pid === undefined) throw new Error('the server has no process');
    return pid;
  }

  /** Resolves when its processes are gone: the next server has the machine alone. */
  async stop(): Promise<void> {
    this.#child.kill('SIGTERM');
    if (this.#child.exitCode === null && this.#child.signalCode === null) {
      await once(this.#child, 'exit');
    }
    endGroup(this.#child);
  }
}

function endGroup({ pid }: ChildProcess): void {
  try {
    if (pid !== undefined) process.kill(-pid, 'SIGKILL');
  } catch {
    // All of them have ended.
  }
}

async function served(health: string, child: ChildProcess, timeoutMs: number): Promise<void> {
  const deadline = performance.now() + timeoutMs;
  while (performance.now() < deadline) {
    if (child.exitCode !== null || child.signalCode !== null) {
      throw new Error(`${child.spawnfile} ended with ${child.exitCode ?? child.signalCode}`);
    }
    try {
      const response = await fetch(health);
      await response.arrayBuffer();
      if (response.ok) return;
    } catch {
      // Nothing listens yet.
    }
    await setTimeout(PAUSE_MS);
  }
  endGroup(child);
  throw new Error(`${child.spawnfile} does not serve within ${timeoutMs / 1000} s`);
}
