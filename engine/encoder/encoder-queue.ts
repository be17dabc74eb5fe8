import type { SequenceId } from '../../scheduler/ids.js';
import type { EngineRequest } from '../protocol/request.js';
import { type BatchLimits, chooseBatch, choosePacked } from './choose-batch.js';

/** A text that waits to be computed. */
export interface WaitingText {
  readonly id: SequenceId;
  readonly request: EngineRequest;
  /** On the engine's clock. */
  readonly arrivedAt: number;
}

/** The texts that wait, in the order in which they are served. */
export class EncoderQueue {
  readonly #limits: BatchLimits;
  readonly #usesPriority: boolean;
  readonly #isPacked: boolean;
  #waiting: WaitingText[] = [];

  /**
   * @param usesPriority whether texts of smaller priority come first; else they all are equal
   * @param isPacked whether texts of any lengths are computed together
   */
  constructor(limits: BatchLimits, usesPriority: boolean, isPacked: boolean) {
    this.#limits = limits;
    this.#isPacked = isPacked;
    this.#usesPriority = usesPriority;
  }

  get waiting(): readonly WaitingText[] {
    return this.#waiting;
  }

  add(text: WaitingText): void {
    const before = this.#usesPriority
      ? this.#waiting.findIndex(({ request }) => request.priority > text.request.priority)
      : -1;
    if (before < 0) this.#waiting.push(text);
    else this.#waiting.splice(before, 0, text);
  }

  /** @returns whether it was there */
  remove(id: SequenceId): boolean {
    const index = this.#waiting.findIndex((text) => text.id === id);
    if (index >= 0) this.#waiting.splice(index, 1);
    return index >= 0;
  }

  /** Takes out what is computed next; none when nothing waits. */
  takeBatch(): WaitingText[] {
    if (this.#waiting.length === 0) return [];
    const lengths = this.#waiting.map(({ request }) => request.promptTokenIds.length);
    const choose = this.#isPacked ? choosePacked : chooseBatch;
    const chosen = choose(lengths, this.#limits);
    const batch = chosen.map((index) => this.#waiting[index]);
    const taken = new Set(batch);
    this.#waiting = this.#waiting.filter((text) => !taken.has(text));
    return batch;
  }
}
