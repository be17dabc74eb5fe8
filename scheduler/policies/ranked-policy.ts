import type { LengthPredictor } from '../prediction/length-predictor.js';
import type { Sequence } from '../sequence.js';
import type { SchedulingPolicy } from './scheduling-policy.js';
import { WaitingQueue } from './waiting-queue.js';

/** Milliseconds of waiting that one step of priority is worth. */
export const PRIORITY_STEP_MS = 10_000;

/** Milliseconds of waiting that one step of the engine less is worth, under `shortest`. */
export const WAIT_PER_STEP_MS = 300;

/** The time of arrival, plus a handicap that depends on the request alone. */
export type RankOf = (sequence: Sequence) => number;

/** First come, first served. */
export const fcfsRank: RankOf = ({ spec }) => spec.arrivalTime;

/** The request's own number first, which ages. */
export const priorityRank: RankOf = ({ spec }) =>
  spec.arrivalTime + spec.priority * PRIORITY_STEP_MS;

/**
 * Shortest job first by predicted length, which ages (S3, Jin et al. 2023, predicts it by a model;
 * here it is learned as requests end). A request's length is the number of steps that it takes
 * alone: those of its prompt, and one for each further token.
 *
 * @param stepTokens tokens of one step, at most
 */
export function shortestRank(predictor: LengthPredictor, stepTokens: number): RankOf {
  return (sequence) => {
    const { promptTokenIds, arrivalTime } = sequence.spec;
    const steps = Math.ceil(promptTokenIds.length / stepTokens) + predictor.expected(sequence);
    return arrivalTime + steps * WAIT_PER_STEP_MS;
  };
}

/**
 * Serves by a rank that is fixed when a sequence arrives. As it is a time of arrival plus a
 * handicap, a sequence can be overtaken only by those that arrive before it has waited for as long
 * as its handicap exceeds theirs, and never starves. A preempted sequence needs no special
 * treatment: its rank is smaller than that of all that arrive later.
 */
export class RankedPolicy implements SchedulingPolicy {
  readonly #waiting = new WaitingQueue<Sequence>();
  readonly #rankOf: RankOf;

  constructor(rankOf: RankOf) {
    this.#rankOf = rankOf;
  }

  get size(): number {
    return this.#waiting.size;
  }

  add(sequence: Sequence): void {
    // What is predicted of a sequence may change while it is alive; its place must not.
    if (Number.isNaN(sequence.rank)) sequence.rank = this.#rankOf(sequence);
    this.#waiting.push(sequence);
  }

  remove(sequence: Sequence): boolean {
    return this.#waiting.remove(sequence);
  }

  next(): Sequence | undefined {
    return this.#waiting.peek();
  }

  [Symbol.iterator](): Iterator<Sequence> {
    return this.#waiting[Symbol.iterator]();
  }
}
