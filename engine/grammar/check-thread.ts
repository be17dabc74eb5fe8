import { parentPort } from 'node:worker_threads';
import { type ErrorRecord, OctavoError, toErrorRecord } from '../errors.js';
import { checkGrammar } from './check-grammar.js';
import type { CheckCommand, CheckReply } from './check-messages.js';
import { describeSizes } from './sizes.js';

// Checks grammars, one request after the other. The grammar checker decides which request is next
// and how long it may take; it ends this thread when that is exceeded.

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
    // A bug of ours; the thread can go on.
    const reason = error instanceof Error ? error.message : String(error);
    return { kind: 'internal', message: `the grammar cannot be checked: ${reason}`, param: null };
  }
}

port.on('message', (command: CheckCommand) => {
  reply({ type: 'checked', error: check(command) });
});
reply({ type: 'ready' });
