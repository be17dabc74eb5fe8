import type { SequenceId } from '../../scheduler/ids.js';
import type { GrammarConstraint, GrammarSource } from '../core/grammar-source.js';
import type { OctavoError } from '../errors.js';
import type { EngineRequest } from '../protocol/request.js';

/** A request whose grammar is compiled, or refused. */
export type Admission =
  | { readonly request: EngineRequest; readonly constraints: readonly GrammarConstraint[] }
  | { readonly request: EngineRequest; readonly error: unknown };

/** A request whose grammar is being compiled. */
interface Waiting {
  /** Completions that nobody has aborted. */
  readonly ids: Set<SequenceId>;
  readonly controller: AbortController;
}

/**
 * Where requests with a grammar wait until it is compiled, and where their constraints are watched afterwards. Nothing of it runs between two
 * steps but the taking of what is ready.
 */
export class GrammarGate {
  readonly #source: GrammarSource;
  readonly #onReady: () => void;
  readonly #waiting = new Map<SequenceId, Waiting>();
  readonly #admitted = new Map<SequenceId, GrammarConstraint>();
  #ready: (() => Admission | null)[] = [];

  /** @param onReady called when `takeReady` has something new */
  constructor(source: GrammarSource, onReady: () => void) {
    this.#source = source;
    this.#onReady = onReady;
  }

  /** Completions that wait. */
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

  /** @returns false when the completion does not wait here */
  abort(id: SequenceId): boolean {
    const waiting = this.#waiting.get(id);
    if (!waiting) return false;
    this.#waiting.delete(id);
    waiting.ids.delete(id);
    if (waiting.ids.size === 0) waiting.controller.abort();
    return true;
  }

  /** Between two steps: what has been compiled since the last time. */
  takeReady(): Admission[] {
    const ready = this.#ready;
    this.#ready = [];
    return ready.map((take) => take()).filter((admission) => admission !== null);
  }

  /** After a step: completions whose constraint has failed. Each is told once. */
  takeFailures(): { id: SequenceId; error: OctavoError }[] {
    const failures: { id: SequenceId; error: OctavoError }[] = [];
    for (const [id, { failure }] of this.#admitted) {
      if (!failure) continue;
      failures.push({ id, error: failure });
      this.#admitted.delete(id);
    }
    return failures;
  }

  /** A completion has ended: its constraint is nobody's concern. */
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
