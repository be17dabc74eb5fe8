import type { RequestId } from './ids.js';
import { compareRank } from './policies.js';
import type { Request } from './request.js';

/**
 * Completions that nobody wants to go on for now, and the sequences that stand for no others: those are not scheduled. They keep their
 * blocks until somebody else needs them.
 */
export class PausedRequests {
  readonly #ids = new Set<RequestId>();
  /** In order of service. */
  readonly #parked: Request[] = [];

  /** Sequences that are set aside. */
  get size(): number {
    return this.#parked.length;
  }

  /** Marks a completion, also one whose sequence still computes for others. */
  mark(id: RequestId): void {
    this.#ids.add(id);
  }

  /** @returns false when it was not marked */
  unmark(id: RequestId): boolean {
    return this.#ids.delete(id);
  }

  /** Whether all completions of a sequence are paused: none has a use for its next token. */
  covers(request: Request): boolean {
    return this.#ids.size > 0 && request.ids.every((id) => this.#ids.has(id));
  }

  /** Sets a sequence aside, blocks and all. */
  park(request: Request): void {
    let index = this.#parked.length;
    while (index > 0 && compareRank(request, this.#parked[index - 1]) < 0) index -= 1;
    this.#parked.splice(index, 0, request);
  }

  /** @returns false when it is not here */
  unpark(request: Request): boolean {
    const index = this.#parked.indexOf(request);
    if (index < 0) return false;
    this.#parked.splice(index, 1);
    return true;
  }

  /** The next that loses its blocks: of those that have any, the one that is served last. */
  lastWithBlocks(): Request | undefined {
    return this.#parked.findLast(({ table }) => table.blocks.length > 0);
  }

  /** In order of service. */
  [Symbol.iterator](): Iterator<Request> {
    return this.#parked.values();
  }

  /** @throws Error when a mark belongs to nobody, or a sequence that computes for somebody is set aside */
  checkIntegrity(live: ReadonlyMap<RequestId, Request>): void {
    for (const id of this.#ids) {
      if (!live.has(id)) throw new Error(`${id} is paused and not here`);
    }
    for (const request of this.#parked) {
      if (!this.covers(request)) throw new Error(`${request.ids[0]} is set aside and not paused`);
    }
  }
}
