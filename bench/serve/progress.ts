import { number } from './markdown.js';
import type { LoadState } from './run-load.js';
import { LatencyHistogram } from './statistics.js';

const EVERY_MS = 250;

/** One line on a terminal that is updated during the run. */
export class Progress {
  readonly #state: LoadState;
  readonly #total: number;
  readonly #start = performance.now();
  readonly #timer: NodeJS.Timeout;
  readonly #firstTokens = new LatencyHistogram();
  #read = 0;
  #failed = 0;
  #chunks = 0;
  #at = this.#start;

  constructor(state: LoadState, total: number) {
    this.#state = state;
    this.#total = total;
    this.#timer = setInterval(() => this.#write(), EVERY_MS);
  }

  /** Removes the line. */
  stop(): void {
    clearInterval(this.#timer);
    process.stderr.write('\r\x1b[K');
  }

  #write(): void {
    const { results, running, chunks } = this.#state;
    for (const { error, firstTokenMs, dueMs } of results.slice(this.#read)) {
      if (error !== null) this.#failed++;
      else if (firstTokenMs !== null) this.#firstTokens.add(firstTokenMs - dueMs);
    }
    this.#read = results.length;
    const now = performance.now();
    const rate = (1000 * (chunks - this.#chunks)) / (now - this.#at);
    this.#chunks = chunks;
    this.#at = now;
    const median = this.#firstTokens.count === 0 ? '-' : number(this.#firstTokens.percentile(50));
    const parts = [
      `${Math.round((now - this.#start) / 1000)} s`,
      `${results.length}/${this.#total} ended`,
      `${running} running`,
      `${this.#failed} failed`,
      `${Math.round(rate)} tokens/s`,
      `TTFT p50 ${median} ms`,
    ];
    process.stderr.write(`\r\x1b[K${parts.join('  ')}`);
  }
}
