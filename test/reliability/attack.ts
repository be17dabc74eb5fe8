import { request } from 'undici';
import { processorShares } from '../../bench/lib/processor-shares.js';
import { type RunningServer, startSharedOctavo } from '../support/octavo-process.js';
import { slowness } from '../support/slowness.js';

/**
 * Where others take more of the processors than this, some of the waiting is theirs: bounds are so
 * many times as long.
 */
const FOREIGN_SHARE = 0.2;
const BUSY_FACTOR = 6;

export const ATTACKER = 'attacker-key';
export const INNOCENT = 'innocent-key';

export interface Answer {
  readonly status: number;
  readonly text: string;
  readonly ms: number;
}

export interface Watched<Result> {
  readonly result: Result;
  /** Milliseconds that each /health took, ascending. */
  readonly health: readonly number[];
  /** By which bounds are multiplied. */
  readonly factor: number;
}

export const list = <T>(length: number, of: (index: number) => T): T[] =>
  Array.from({ length }, (_, index) => of(index));

export const chatOf = (more: object): string =>
  JSON.stringify({
    model: 'octavo-tiny',
    messages: [{ role: 'user', content: 'hi' }],
    max_tokens: 4,
    ...more,
  });

/** A server that two clients use: one attacks, the other asks for something small. */
export class AttackedServer {
  readonly url: string;
  readonly #server: RunningServer & { kill: () => void };

  private constructor(server: RunningServer & { kill: () => void }) {
    this.#server = server;
    this.url = server.url;
  }

  static async start(more: readonly string[] = []): Promise<AttackedServer> {
    const keys = ['--api-key', ATTACKER, '--api-key', INNOCENT];
    return new AttackedServer(await startSharedOctavo(['--threads', '1', ...keys, ...more]));
  }

  kill(): void {
    this.#server.kill();
  }

  async post(key: string, path: string, body: string, signal?: AbortSignal): Promise<Answer> {
    const start = performance.now();
    const { statusCode, body: answer } = await request(this.url + path, {
      method: 'POST',
      headers: { 'content-type': 'application/json', authorization: `Bearer ${key}` },
      body,
      ...(signal ? { signal } : {}),
    });
    const text = await answer.text();
    return { status: statusCode, text, ms: performance.now() - start };
  }

  chat(key: string, more: object, signal?: AbortSignal): Promise<Answer> {
    return this.post(key, '/v1/chat/completions', chatOf(more), signal);
  }

  /** Asks for /health again and again while something runs. */
  async healthDuring<Result>(work: Promise<Result>): Promise<Watched<Result>> {
    const slow = slowness();
    const shares = processorShares(this.#server.child.pid ?? 0);
    const over = new AbortController();
    const health: number[] = [];
    const watch = async (): Promise<void> => {
      while (!over.signal.aborted) {
        const start = performance.now();
        const { body } = await request(`${this.url}/health`);
        await body.dump();
        health.push(performance.now() - start);
        await new Promise((resolve) => setTimeout(resolve, 10));
      }
    };
    const watching = watch();
    try {
      const result = await work;
      // The last one may have arrived between two checks.
      await new Promise((resolve) => setTimeout(resolve, 50));
      const factor = slow * (shares().foreign < FOREIGN_SHARE ? 1 : BUSY_FACTOR);
      over.abort();
      await watching;
      return { result, health: health.toSorted((a, b) => a - b), factor };
    } finally {
      over.abort();
      await watching;
    }
  }
}
