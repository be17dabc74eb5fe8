import type { SequenceId } from './ids.js';
import { compareRank } from './policies/rank.js';
import type { Sequence } from './sequence.js';

/**
 * Paused sequences, which are not scheduled. They keep their blocks until a running or waiting
 * sequence needs them. A sequence that still computes the prompt of others is only marked.
 */
export class PausedSequences {
  readonly #ids = new Set<SequenceId>();
  /** In order of service. */
  readonly #parked: Sequence[] = [];

  /** Number of sequences that are set aside. */
  get size(): number {
    return this.#parked.length;
  }

  /** Marks a sequence as paused, even while its prompt is computed for others. */
  mark(id: SequenceId): void {
    this.#ids.add(id);
  }

  /** @returns false when it was not marked */
  unmark(id: SequenceId): boolean {
    return this.#ids.delete(id);
  }

  /** Whether all sequences that it stands for are paused, so that its next token is not needed. */
  covers(sequence: Sequence): boolean {
    return this.#ids.size > 0 && sequence.ids.every((id) => this.#ids.has(id));
  }

  /** Sets a sequence aside with its blocks. */
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

  /** The next to lose its blocks: the last in order of service that has any. */
  lastWithBlocks(): Sequence | undefined {
    return this.#parked.findLast(({ blocks }) => !blocks.isEmpty);
  }

  /** In order of service. */
  [Symbol.iterator](): Iterator<Sequence> {
    return this.#parked.values();
  }

  /**
   * @throws Error when a mark has no live sequence, or a sequence that computes for others is set
   *   aside
   */
  checkIntegrity(live: ReadonlyMap<SequenceId, Sequence>): void {
    for (const id of this.#ids) {
      if (!live.has(id)) throw new Error(`${id} is paused and not here`);
    }
    for (const sequence of this.#parked) {
      if (!this.covers(sequence)) throw new Error(`${sequence.ids[0]} is set aside and not paused`);
    }
  }
}
