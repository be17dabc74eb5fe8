import type { ChildProcess } from 'node:child_process';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { peakBytes } from './process-memory.js';
import { pythonOf } from './python-env.js';

/**
 * A load for all peers. Conversations begin in order, `concurrency` at a time; a turn's prompt
 * contains all earlier turns.
 */
export interface Load {
  readonly name: string;
  readonly concurrency: number;
  readonly conversations: readonly (readonly Turn[])[];
  /**
   * How a peer may spread them over sequences of one context; it must run with the one that it is
   * told.
   */
  readonly sequences: number;
  /** Whether an output may have many tokens, which were drafted. */
  readonly hasDrafts?: boolean;
}

export interface Turn {
  readonly prompt: readonly number[];
  readonly maxTokens: number;
}

/** Milliseconds since the load began. */
export interface TurnResult {
  readonly conversation: number;
  readonly turn: number;
  /** When the client wanted it to begin. */
  readonly dueMs: number;
  /** When each output came; the first one is the time to the first token. */
  readonly outputMs: readonly number[];
  readonly endMs: number;
  readonly tokens: number;
}

export interface LoadOutcome {
  readonly turns: readonly TurnResult[];
  /**
   * One sequence at a time: of a queue of equal requests some were measured, and the others' times
   * follow from them.
   */
  readonly serial: boolean;
}

/** One line of JSON in each direction; the driver first says that it is ready. */
export type DriverMessage =
  | {
      readonly type: 'ready';
      readonly about: string;
      /** The process that computes, or whose children do. */
      readonly pid: number;
      /** Milliseconds from before the engine's code is loaded until it takes requests. */
      readonly readyMs: number;
    }
  | { readonly type: 'outcome'; readonly outcome: LoadOutcome }
  | { readonly type: 'failed'; readonly message: string };

const START_TIMEOUT_MS = 300_000;
const LOAD_TIMEOUT_MS = 300_000;

export const DRIVERS = {
  server: 'drivers/server.ts',
  library: 'drivers/library.ts',
  llama: 'drivers/llama.ts',
  transformers: 'drivers/transformers.ts',
  openvino: 'python/openvino_driver.py',
  genai: 'python/genai_driver.py',
} as const;
export type DriverName = keyof typeof DRIVERS;

function commandOf(driver: DriverName): [command: string, ...args: string[]] {
  const path = fileURLToPath(new URL(DRIVERS[driver], import.meta.url));
  return path.endsWith('.py')
    ? [pythonOf('exporters'), path]
    : [process.execPath, '--import', 'tsx', path];
}

/** A peer in a process of its own. */
export class Driver {
  readonly about: string;
  /** Milliseconds from before the engine's code is loaded until it takes requests. */
  readonly readyMs: number;
  readonly #pid: number;
  readonly #child: ChildProcess;
  readonly #lines: AsyncIterator<string>;

  private constructor(
    child: ChildProcess,
    lines: AsyncIterator<string>,
    { about, pid, readyMs }: Extract<DriverMessage, { type: 'ready' }>,
  ) {
    this.#child = child;
    this.#lines = lines;
    this.about = about;
    this.#pid = pid;
    this.readyMs = readyMs;
  }

  static async start(driver: DriverName, options: object): Promise<Driver> {
    const [command, ...args] = commandOf(driver);
    const child = spawn(command, [...args, JSON.stringify(options)], {
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
    const first = await read(lines, START_TIMEOUT_MS, driver, child);
    if (first.type !== 'ready') throw new Error(`${driver}: began with ${JSON.stringify(first)}`);
    return new Driver(child, lines, first);
  }

  /** Largest resident memory so far of the processes that compute; null where no system says it. */
  peakBytes(): number | null {
    return peakBytes(this.#pid);
  }

  /** @throws Error when the peer failed, hung, or did not generate what it was asked for */
  async run(load: Load): Promise<LoadOutcome> {
    this.#child.stdin?.write(`${JSON.stringify(load)}\n`);
    const message = await read(this.#lines, LOAD_TIMEOUT_MS, load.name, this.#child);
    if (message.type !== 'outcome') throw new Error(`${load.name}: ${JSON.stringify(message)}`);
    checkOutcome(load, message.outcome);
    return message.outcome;
  }

  /** Resolves when the process is gone: the next peer has the machine alone. */
  async stop(): Promise<void> {
    this.#child.stdin?.end();
    if (this.#child.exitCode === null) await once(this.#child, 'exit');
  }
}

async function read(
  lines: AsyncIterator<string>,
  timeoutMs: number,
  what: string,
  child: ChildProcess,
): Promise<DriverMessage> {
  for (;;) {
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(() => {
        child.kill('SIGKILL');
        reject(new Error(`${what}: no answer within ${timeoutMs / 1000} s`));
      }, timeoutMs);
    });
    const { value, done } = await Promise.race([lines.next(), late]);
    clearTimeout(timer);
    if (done === true) throw new Error(`${what}: the peer's process has ended`);
    // Libraries may print on stdout, too.
    if (value.startsWith('{"type":')) return JSON.parse(value) as DriverMessage;
  }
}

/** A figure of a peer that did not really run would be worse than none. */
export function checkOutcome(
  { name, conversations, hasDrafts = false }: Load,
  { turns }: LoadOutcome,
): void {
  const expected = conversations.reduce((sum, conversation) => sum + conversation.length, 0);
  if (turns.length !== expected) {
    throw new Error(`${name}: ${turns.length} answers to ${expected} requests`);
  }
  for (const { conversation, turn, tokens, outputMs, endMs } of turns) {
    const { maxTokens } = conversations[conversation][turn];
    if (tokens !== maxTokens) {
      throw new Error(
        `${name}: ${tokens} tokens instead of ${maxTokens} (${conversation}.${turn})`,
      );
    }
    // Bytes that are no character alone, and tokens sent together, share an output.
    const fewest = hasDrafts ? 1 : 0.5 * maxTokens;
    if (outputMs.length < fewest || outputMs.length > maxTokens) {
      throw new Error(`${name}: ${outputMs.length} outputs for ${maxTokens} tokens`);
    }
    if (outputMs.some((at) => !(at > 0 && at <= endMs)))
      throw new Error(`${name}: times in disorder`);
  }
}

/**
 * The driver's side: runs each load that comes in, until the input ends.
 *
 * @param began before the engine's code was loaded, by `performance.now()`
 * @param pid of the process that computes, or whose children do; default: this one
 */
export async function serveLoads(
  about: string,
  began: number,
  run: (load: Load) => Promise<LoadOutcome>,
  pid = process.pid,
): Promise<void> {
  const say = (message: DriverMessage): void => {
    process.stdout.write(`${JSON.stringify(message)}\n`);
  };
  say({ type: 'ready', about, pid, readyMs: performance.now() - began });
  for await (const line of createInterface({ input: process.stdin })) {
    try {
      say({ type: 'outcome', outcome: await run(JSON.parse(line) as Load) });
    } catch (error) {
      say({
        type: 'failed',
        message: error instanceof Error ? (error.stack ?? '') : String(error),
      });
    }
  }
}

/** Runs conversations in order, so many at a time; `turn` does one turn on one of the workers. */
export async function converse(
  load: Load,
  workers: number,
  turn: (
    turn: Turn,
    worker: number,
    now: () => number,
  ) => Promise<Pick<TurnResult, 'outputMs' | 'endMs' | 'tokens'>>,
): Promise<TurnResult[]> {
  const start = performance.now();
  const now = (): number => performance.now() - start;
  const results: TurnResult[] = [];
  let next = 0;
  const work = async (worker: number): Promise<void> => {
    while (next < load.conversations.length) {
      const conversation = next++;
      // A client that waits for a worker has been waiting since its place among the concurrent ones
      // was free.
      let dueMs = conversation < load.concurrency ? 0 : now();
      for (const [index, one] of load.conversations[conversation].entries()) {
        results.push({ conversation, turn: index, dueMs, ...(await turn(one, worker, now)) });
        dueMs = now();
      }
    }
  };
  await Promise.all(
    Array.from({ length: Math.min(workers, load.conversations.length) }, (_, i) => work(i)),
  );
  return results;
}
