// Loaded with --import before the program: threads fail as by an uncaught exception, when they have
// sent so many messages. KILL_THREAD is the end of their file's name, KILL_AFTER a list of counts:
// the first thread's, the second's; those behind the list live.
//
// The exception is thrown in the thread itself. `terminate()` from outside is no crash that
// happens: if it comes while ONNX Runtime computes, that throws an uncatchable exception, and the
// process is gone.
import { syncBuiltinESMExports } from 'node:module';
import threads from 'node:worker_threads';

const FILE = process.env.KILL_THREAD;
const counts = process.env.KILL_AFTER.split(',');
let started = 0;

threads.Worker = class extends threads.Worker {
  constructor(url, options) {
    const isVictim = String(url).endsWith(FILE);
    const DIES_AFTER = isVictim ? (counts[started++] ?? '') : '';
    super(url, { ...options, env: { ...process.env, DIES_AFTER } });
  }
};
syncBuiltinESMExports();

if (!threads.isMainThread && (process.env.DIES_AFTER ?? '') !== '') {
  let left = Number(process.env.DIES_AFTER);
  // oxlint-disable-next-line typescript/unbound-method -- called with its own `this` below
  const post = threads.parentPort.postMessage;
  threads.parentPort.postMessage = function postMessage(...args) {
    post.apply(this, args);
    left--;
    if (left > 0) return;
    setImmediate(() => {
      throw new Error('the thread is killed');
    });
  };
}
