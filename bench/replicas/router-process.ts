import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { freePort } from '../lib/free-port.js';

export type RouterKind = 'vllm-router' | 'sglang-router';

export const ROUTERS: readonly RouterKind[] = ['vllm-router', 'sglang-router'];

export interface RouterOptions {
  /** With the routers installed. */
  readonly python: string;
  readonly kind: RouterKind;
  readonly policy: string;
  /** URLs of the replicas. */
  readonly replicas: readonly string[];
  readonly flags?: readonly string[];
  /** 0, and by default: a free one. */
  readonly port?: number;
}

export interface RouterProcess {
  readonly child: ChildProcess;
  readonly url: string;
  readonly port: number;
  /** What it has printed. */
  readonly output: () => string;
  /** Ends it at once, as a crash would. */
  kill(): Promise<void>;
}

/** How each of them is started: as a module, because its program knows where it was installed. */
const MODULES: Record<RouterKind, readonly string[]> = {
  'vllm-router': [
    '-c',
    'from vllm_router.launch_router import main; main()',
    '--log-level',
    'warning',
  ],
  'sglang-router': ['-m', 'sglang_router', 'launch', '--log-level', 'warn'],
};

const START_MS = 180_000;

/**
 * What both are given. The checks of health are quick, so that tests see a replica leave and come
 * back; a request is tried for longer than a check takes to find a replica gone, or every try could
 * go to that one.
 */
const COMMON = [
  '--host',
  '127.0.0.1',
  '--worker-startup-check-interval',
  '1',
  '--worker-startup-timeout-secs',
  '30',
  '--health-check-interval-secs',
  '1',
  '--health-failure-threshold',
  '1',
  '--health-success-threshold',
  '1',
  '--health-check-timeout-secs',
  '2',
  '--retry-max-retries',
  '40',
  '--retry-initial-backoff-ms',
  '20',
  '--retry-max-backoff-ms',
  '200',
];

/** Starts a router in front of the replicas; resolves once it routes to all of them. */
export async function startRouter(options: RouterOptions): Promise<RouterProcess> {
  const { python, kind, policy, replicas, flags = [] } = options;
  const port = options.port || (await freePort());
  const args = [
    ...MODULES[kind],
    ...COMMON,
    '--port',
    String(port),
    '--prometheus-port',
    String(await freePort()),
    '--policy',
    policy,
    '--worker-urls',
    ...replicas,
    ...flags,
  ];
  const child = spawn(python, args, { stdio: ['ignore', 'pipe', 'pipe'] });
  const end = (): void => void child.kill('SIGKILL');
  process.once('exit', end);
  child.once('exit', () => process.off('exit', end));
  let output = '';
  const read = (chunk: Buffer): void => void (output += chunk.toString());
  child.stdout.on('data', read);
  child.stderr.on('data', read);
  const url = `http://127.0.0.1:${port}`;
  await untilRouting(child, url, () => output);
  const kill = async (): Promise<void> => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    child.kill('SIGKILL');
    await once(child, 'exit');
  };
  return { child, url, port, output: () => output, kill };
}

async function untilRouting(child: ChildProcess, url: string, output: () => string): Promise<void> {
  const deadline = performance.now() + START_MS;
  while (performance.now() < deadline) {
    if (child.exitCode !== null) throw new Error(`the router has ended: ${output()}`);
    try {
      const answer = await fetch(`${url}/v1/models`);
      await answer.arrayBuffer();
      if (answer.ok) return;
    } catch {
      // It does not listen yet.
    }
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  throw new Error(`the router does not route after ${START_MS} ms: ${output()}`);
}
