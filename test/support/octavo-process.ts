import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { onTestFinished } from 'vitest';

const CLI = fileURLToPath(new URL('../../dist/server/cli.js', import.meta.url));

/** Lets a model take its time: a long answer is not over before a test looks. */
export const SLOW_MODEL = {
  NODE_OPTIONS: `--import ${new URL('slow-model.mjs', import.meta.url).href}`,
};

export interface FinishedProcess {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/**
 * The compiled program, as users run it; killed when the test is over. `npm test` builds it first.
 */
export function octavo(args: readonly string[], env: Record<string, string> = {}): ChildProcess {
  const child = spawnOctavo(args, env);
  onTestFinished(() => void child.kill('SIGKILL'));
  return child;
}

function spawnOctavo(args: readonly string[], env: Record<string, string> = {}): ChildProcess {
  if (!existsSync(CLI)) throw new Error(`${CLI} is missing: run npm run build`);
  return spawn(process.execPath, [CLI, ...args], {
    env: { ...process.env, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
}

/** The same, started by a shell script that ends in `exec "$@"`. */
export function octavoThrough(
  script: string,
  args: readonly string[],
  env: Record<string, string> = {},
): ChildProcess {
  const child = spawn('sh', ['-c', script, 'sh', process.execPath, CLI, ...args], {
    env: { ...process.env, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  onTestFinished(() => void child.kill('SIGKILL'));
  return child;
}

/** Runs to the end. */
export function runOctavo(
  args: readonly string[],
  env: Record<string, string> = {},
): Promise<FinishedProcess> {
  return finished(octavo(args, env));
}

/** Runs to the end with a text as standard input. */
export function piped(args: readonly string[], input: string): Promise<FinishedProcess> {
  const child = spawn(process.execPath, [CLI, ...args], { stdio: 'pipe' });
  onTestFinished(() => void child.kill('SIGKILL'));
  child.stdin.end(input);
  return finished(child);
}

/** What a process says until it ends. */
export async function finished(child: ChildProcess): Promise<FinishedProcess> {
  let stdout = '';
  let stderr = '';
  child.stdout?.on('data', (chunk: Buffer) => (stdout += chunk.toString()));
  child.stderr?.on('data', (chunk: Buffer) => (stderr += chunk.toString()));
  const code = await exitCode(child);
  return { code, stdout, stderr };
}

export function exitCode(child: ChildProcess): Promise<number | null> {
  return new Promise((resolve) => child.once('close', resolve));
}

export interface RunningServer {
  readonly child: ChildProcess;
  readonly url: string;
  /** What was printed until then. */
  readonly output: string;
}

/** Starts a server on a free port and waits until it says that it serves. */
export async function startOctavo(
  args: readonly string[] = [],
  env: Record<string, string> = {},
): Promise<RunningServer> {
  return untilServing(octavo(serveArgs(args), env));
}

/** The same for all tests of a block: for `beforeAll`, which returns `kill` for the end. */
export async function startSharedOctavo(
  args: readonly string[] = [],
  env: Record<string, string> = {},
): Promise<RunningServer & { kill: () => void }> {
  const child = spawnOctavo(serveArgs(args), env);
  return { ...(await untilServing(child)), kill: () => void child.kill('SIGKILL') };
}

const serveArgs = (args: readonly string[]): string[] => ['serve', '--port', '0', ...args];

async function untilServing(child: ChildProcess): Promise<RunningServer> {
  let output = '';
  const url = await new Promise<string>((resolve, reject) => {
    const read = (chunk: Buffer): void => {
      output += chunk.toString();
      const found = /serving .+ on (http:\/\/[\d.]+:\d+)/.exec(output);
      if (found) resolve(found[1]);
    };
    child.stdout?.on('data', read);
    child.stderr?.on('data', read);
    child.once('close', (code) => reject(new Error(`octavo ended with ${code}: ${output}`)));
  });
  return { child, url, output };
}

/** One value of /metrics, summed over its label sets. */
export async function metric(url: string, name: string): Promise<number> {
  const text = await (await fetch(`${url}/metrics`)).text();
  let sum = 0;
  for (const line of text.split('\n')) {
    if (line.startsWith(`${name}{`) || line.startsWith(`${name} `)) {
      sum += Number(line.slice(line.lastIndexOf(' ') + 1));
    }
  }
  return sum;
}
