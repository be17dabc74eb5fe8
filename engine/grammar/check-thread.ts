import { type ErrorRecord, OctavoError, toErrorRecord } from '../errors.js';
import { serveJobs } from '../job-pool/serve-jobs.js';
import { checkGrammar } from './check-grammar.js';
import type { CheckCommand, CheckVerdict } from './check-messages.js';
import { describeSizes } from './sizes.js';

// Checks the grammars of requests. A refusal is a result, because the same grammars are refused
// again; what is thrown is not.

function check({ checks }: CheckCommand, onMeasured: (sizes: string) => void): ErrorRecord | null {
  try {
    for (const each of checks) checkGrammar(each, (sizes) => onMeasured(describeSizes(sizes)));
    return null;
  } catch (error) {
    if (error instanceof OctavoError) return toErrorRecord(error);
    throw error;
  }
}

serveJobs<CheckCommand, CheckVerdict>({
  run: (command, onMeasured) => ({ refusal: check(command, onMeasured) }),
});
