import type { SequenceId } from '../../scheduler/ids.js';
import type { GrammarConstraint, GrammarSource } from '../core/grammar-source.js';
import type { OctavoError } from '../errors.js';
import type { EngineRequest } from '../protocol/request.js';

/** A request whose grammar has been compiled or refused. */
export type Admission =
  | { readonly request: EngineRequest; readonly constraints: readonly GrammarConstraint[] }
  | { readonly request: EngineRequest; readonly error: unknown };

/** A request whose grammar is being compiled. */
interface Waiting {
  /** Sequences that have not been aborted. */
  readonly ids: Set<SequenceId>;
  readonly controller: AbortController;
}

/**
 * Holds requests until their grammar is compiled, and monitors their constraints afterwards. Only
 * `takeReady` and `takeFailures` run on the step path.
 */
export class GrammarGate {
  readonly #source: GrammarSource;
  readonly #onReady: () => void;
  readonly #waiting = new Map<SequenceId, Waiting>();
  readonly #admitted = new Map<SequenceId, GrammarConstraint>();
  #ready: (() => Admission | null)[] = [];

  /** @param onReady called when `takeReady` has new results */
  constructor(source: GrammarSource, onReady: () => void) {
    this.#source = source;
    this.#onReady = onReady;
  }

  /** Number of sequences that wait. */
  get numWaiting(): number {
    return this.#waiting.size;
  }

  get hasReady(): boolean {
    return this.#ready.length > 0;
  }

  submit(request: EngineRequest): void {
    const { grammar, client, ids, stopTokenIds, eosTokenIds } = request;
    if (grammar === null) throw new Error('a request without a grammar does not wait');
    const waiting: Waiting = { ids: new Set(ids), controller: new AbortController() };
    for (const id of ids) this.#waiting.set(id, waiting);
    const stops = [...new Set([...stopTokenIds, ...eosTokenIds])];
    const constraints = this.#source.constrain(
      {
        spec: grammar,
        client,
        count: ids.length,
        stopTokenIds: stops,
        eosTokenIds,
        isLongest: !eosTokenIds.some((token) => stopTokenIds.includes(token)),
      },
      waiting.controller.signal,
    );
    const settle = (admission: () => Admission | null): void => {
      this.#ready.push(() => {
        for (const id of ids) this.#waiting.delete(id);
        return admission();
      });
      this.#onReady();
    };
    constraints.then(
      (made) => settle(() => this.#admit({ ...request, stopTokenIds: stops }, made, waiting)),
      (error: unknown) => settle(() => (waiting.ids.size > 0 ? { request, error } : null)),
    );
  }

  /** @returns false when the sequence does not wait here */
  abort(id: SequenceId): boolean {
    const waiting = this.#waiting.get(id);
    if (!waiting) return false;
    this.#waiting.delete(id);
    waiting.ids.delete(id);
    if (waiting.ids.size === 0) waiting.controller.abort();
    return true;
  }

  /** Call between two steps: returns what has been compiled since the last call. */
  takeReady(): Admission[] {
    const ready = this.#ready;
    this.#ready = [];
    return ready.map((take) => take()).filter((admission) => admission !== null);
  }

  /** Call after a step: returns sequences whose constraint has failed, each once. */
  takeFailures(): { id: SequenceId; error: OctavoError }[] {
    const failures: { id: SequenceId; error: OctavoError }[] = [];
    for (const [id, { failure }] of this.#admitted) {
      if (!failure) continue;
      failures.push({ id, error: failure });
      this.#admitted.delete(id);
    }
    return failures;
  }

  /** Stops monitoring a sequence that has ended. */
  forget(id: SequenceId): void {
    this.#admitted.delete(id);
  }

  close(): Promise<void> {
    return this.#source.close();
  }

  #admit(
    request: EngineRequest,
    made: readonly GrammarConstraint[],
    { ids }: Waiting,
  ): Admission | null {
    const kept = request.ids.filter((id) => ids.has(id));
    const constraints: GrammarConstraint[] = [];
    request.ids.forEach((id, index) => {
      if (!ids.has(id)) made[index].dispose();
      else {
        constraints.push(made[index]);
        this.#admitted.set(id, made[index]);
      }
    });
    return kept.length === 0 ? null : { request: { ...request, ids: kept }, constraints };
  }
}
