import { parentPort } from 'node:worker_threads';
import { type ErrorRecord, OctavoError, toErrorRecord } from '../errors.js';
import { checkGrammar } from './check-grammar.js';
import type { CheckCommand, CheckReply } from './check-messages.js';
import { describeSizes } from './sizes.js';

// Grammars are checked here, one request after the other. Who waits for whom, and for how long, is
// the checker's business: it ends this thread when a request takes too long.

const port = parentPort;
if (!port) throw new Error('grammars are checked in a worker thread');
const reply = (message: CheckReply): void => port.postMessage(message);

function check({ checks }: CheckCommand): ErrorRecord | null {
  try {
    for (const each of checks) {
      checkGrammar(each, (sizes) => reply({ type: 'measured', sizes: describeSizes(sizes) }));
    }
    return null;
  } catch (error) {
    if (error instanceof OctavoError) return toErrorRecord(error);
    // A fault of ours; the thread is as good as before.
    const reason = error instanceof Error ? error.message : String(error);
    return { kind: 'internal', message: `the grammar cannot be checked: ${reason}`, param: null };
  }
}

port.on('message', (command: CheckCommand) => {
  reply({ type: 'checked', error: check(command) });
});
reply({ type: 'ready' });
