import type { SequenceId } from './ids.js';
import { compareRank } from './policies.js';
import type { Sequence } from './sequence.js';

/**
 * Sequences that no reader wants to go on for now: they are not scheduled. They keep their blocks until a sequence that
 * runs, or waits to, needs them. A sequence that still computes the prompt of others is only marked.
 */
export class PausedSequences {
  readonly #ids = new Set<SequenceId>();
  /** In order of service. */
  readonly #parked: Sequence[] = [];

  /** Sequences that are set aside. */
  get size(): number {
    return this.#parked.length;
  }

  /** Also one whose prompt is still computed for others. */
  mark(id: SequenceId): void {
    this.#ids.add(id);
  }

  /** @returns false when it was not marked */
  unmark(id: SequenceId): boolean {
    return this.#ids.delete(id);
  }

  /** Whether all sequences that it stands for are paused: none has a use for its next token. */
  covers(sequence: Sequence): boolean {
    return this.#ids.size > 0 && sequence.ids.every((id) => this.#ids.has(id));
  }

  /** Sets a sequence aside, blocks and all. */
  park(sequence: Sequence): void {
    let index = this.#parked.length;
    while (index > 0 && compareRank(sequence, this.#parked[index - 1]) < 0) index -= 1;
    this.#parked.splice(index, 0, sequence);
  }

  /** @returns false when it is not here */
  unpark(sequence: Sequence): boolean {
    const index = this.#parked.indexOf(sequence);
    if (index < 0) return false;
    this.#parked.splice(index, 1);
    return true;
  }

  /** The next to lose its blocks: of those that have any, the one that is served last. */
  lastWithBlocks(): Sequence | undefined {
    return this.#parked.findLast(({ blocks }) => !blocks.isEmpty);
  }

  /** In order of service. */
  [Symbol.iterator](): Iterator<Sequence> {
    return this.#parked.values();
  }

  /** @throws Error when a mark belongs to no live sequence, or a sequence that computes for others is set aside */
  checkIntegrity(live: ReadonlyMap<SequenceId, Sequence>): void {
    for (const id of this.#ids) {
      if (!live.has(id)) throw new Error(`${id} is paused and not here`);
    }
    for (const sequence of this.#parked) {
      if (!this.covers(sequence)) throw new Error(`${sequence.ids[0]} is set aside and not paused`);
    }
  }
}
