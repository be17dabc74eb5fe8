// Loaded with --import before the program: ends the attention's worker threads when they have lived
// for a moment, as a crash would. The engine's thread inherits the flag, so its own Worker class is
// the one that is replaced.
import { syncBuiltinESMExports } from 'node:module';
import threads from 'node:worker_threads';

const LIFE_MS = Number(process.env.HELPER_LIFE_MS);

threads.Worker = class extends threads.Worker {
  constructor(url, options) {
    super(url, options);
    if (String(url).endsWith('/kernel/worker.mjs'))
      setTimeout(() => void this.terminate(), LIFE_MS).unref();
  }
};
syncBuiltinESMExports();
