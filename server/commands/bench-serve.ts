import { benchServe } from '../../bench/serve/bench-serve.js';
import type { BenchServeOptions } from '../../bench/serve/options.js';
import { Progress } from '../../bench/serve/progress.js';

const INTERRUPTED = 130;

/**
 * `octavo bench serve`: loads an endpoint and prints what it measured. Ctrl-C ends the run and
 * prints what there is, a second one ends the process.
 *
 * @returns the exit code: 1 when no request succeeded
 */
export async function benchServeCommand(options: BenchServeOptions): Promise<number> {
  const controller = new AbortController();
  const interrupt = (): void => {
    if (controller.signal.aborted) process.exit(INTERRUPTED);
    controller.abort();
  };
  process.on('SIGINT', interrupt);
  let progress: Progress | null = null;
  try {
    const { summary, markdown } = await benchServe(options, controller.signal, (state) => {
      const requests = options.count * options.workload.turns;
      if (process.stderr.isTTY) progress = new Progress(state, requests);
    }).finally(() => progress?.stop());
    process.stdout.write(markdown);
    if (controller.signal.aborted) return INTERRUPTED;
    return summary.requests.succeeded > 0 ? 0 : 1;
  } finally {
    process.off('SIGINT', interrupt);
  }
}
