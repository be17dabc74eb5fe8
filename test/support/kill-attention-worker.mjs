// Loaded with --import before the program: ends the attention's worker threads when a file is
// written after they were started, as a crash would. The engine's thread inherits the flag, so its
// own Worker class is the one that is replaced.
import { statSync } from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
import threads from 'node:worker_threads';

const FILE = process.env.KILL_FILE;

threads.Worker = class extends threads.Worker {
  constructor(url, options) {
    super(url, options);
    if (!String(url).endsWith('/kernel/worker.mjs')) return;
    const startedAt = Date.now();
    const poll = setInterval(() => {
      const written = statSync(FILE, { throwIfNoEntry: false })?.mtimeMs ?? 0;
      if (written <= startedAt) return;
      clearInterval(poll);
      void this.terminate();
    }, 20).unref();
  }
};
syncBuiltinESMExports();
