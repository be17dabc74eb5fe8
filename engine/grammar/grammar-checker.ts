import { createHash } from 'node:crypto';
import { fromErrorRecord, OctavoError } from '../errors.js';
import { JobPool, type JobPoolOptions } from '../job-pool/job-pool.js';
import type { ThreadProgram } from '../job-pool/job-thread.js';
import type { CheckCommand, CheckVerdict, GrammarCheck } from './check-messages.js';
import { assertShort } from './sizes.js';

export const CHECKER_DEFAULTS = { maxThreads: 2, budgetMs: 5000 } as const;

/** Number of requests whose verdicts are kept. */
const MAX_KNOWN = 1000;

const CHECK_THREAD: ThreadProgram<CheckCommand> = {
  file: new URL('./check-thread.js', import.meta.url),
  maxHeapMb: 256,
  does: 'checks grammars',
  tooLarge: (_command, budget, sizes) =>
    new OctavoError(
      'invalid_request',
      `the grammar takes more than ${budget} to check${sizes === '' ? '' : `: it has ${sizes}`}`,
    ),
};

/**
 * Checks in separate threads whether grammars can be enforced: schemas, patterns and tools come
 * from clients, and some take long.
 */
export class GrammarChecker {
  readonly #pool: JobPool<CheckCommand, CheckVerdict>;
  /** Verdicts by digest, least recently used first; null when the grammar can be enforced. */
  readonly #known = new Map<string, OctavoError | null>();

  /** @param options the budget is for all grammars of one request */
  constructor(options: JobPoolOptions = CHECKER_DEFAULTS) {
    this.#pool = new JobPool(CHECK_THREAD, options);
  }

  /** For tests. */
  get threads(): number {
    return this.#pool.threads;
  }

  /**
   * @param client the client whose share of the threads is used
   * @param signal aborted when the client has left
   * @throws OctavoError `invalid_request`: names what cannot be enforced and where, or what is too
   *   large. `draining` when it is closed
   * @throws the reason of `signal` when it is aborted
   */
  async check(checks: readonly GrammarCheck[], client: string, signal: AbortSignal): Promise<void> {
    if (checks.length === 0) return;
    signal.throwIfAborted();
    for (const { spec, field } of checks) assertShortField(spec, field);
    const key = createHash('sha256').update(JSON.stringify(checks)).digest('base64');
    let verdict = this.#known.get(key);
    if (verdict === undefined) {
      // What this throws is no verdict: on a less busy machine the check may be in time.
      const { refusal } = await this.#pool.run({ checks }, { client, signal, key });
      verdict = refusal && fromErrorRecord(refusal);
    }
    this.#remember(key, verdict);
    if (verdict) throw verdict;
  }

  /** Idempotent. */
  close(): Promise<void> {
    return this.#pool.close();
  }

  #remember(key: string, verdict: OctavoError | null): void {
    this.#known.delete(key);
    this.#known.set(key, verdict);
    if (this.#known.size <= MAX_KNOWN) return;
    for (const oldest of this.#known.keys()) {
      this.#known.delete(oldest);
      return;
    }
  }
}

function assertShortField(spec: GrammarCheck['spec'], field: string | null): void {
  try {
    assertShort(spec);
  } catch (error) {
    if (field === null || !(error instanceof OctavoError)) throw error;
    throw new OctavoError(error.kind, `${field}: ${error.message}`, { param: field, cause: error });
  }
}
