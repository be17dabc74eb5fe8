import { OctavoError } from '../../engine/errors.js';
import { uniform } from '../../engine/sampling/random.js';
import { Queue, type QueuedRequest, type QueueLimits } from '../../server/limits/queue.js';

/** What clients send: so many requests a second (Poisson), each of this kind. */
export interface Stream {
  readonly client: string;
  readonly perSecond: number;
  /**
   * Output tokens: how many the model makes of it, and how many the client allows. `draw` is
   * uniform in [0, 1).
   */
  readonly output: (draw: number) => { readonly tokens: number; readonly maxTokens: number };
}

/** A request that was let in. */
export interface Admission {
  readonly client: string;
  readonly enteredAt: number;
  /** Milliseconds; null: it did not get a slot before the end. */
  waited: number | null;
}

export interface Outcome {
  readonly admitted: readonly Admission[];
  readonly refused: readonly { readonly client: string; readonly error: OctavoError }[];
  /** Of the slots, those that were taken, as a mean over the time. */
  readonly utilization: number;
}

interface Running {
  readonly request: QueuedRequest;
  readonly length: number;
  readonly admission: Admission;
  tokens: number;
  firstTokenAt: number | null;
  prefillMs: number | null;
}

/** Milliseconds of a step: its own, for each sequence, and for each prompt that begins in it. */
const [STEP_MS, SEQUENCE_MS, PROMPT_MS] = [2, 0.13, 4];

/** Prompts that fit into a step. */
const PROMPTS = 8;

/**
 * A queue in front of an engine that runs in steps, on a clock of its own: each step gives every
 * sequence a token. Prompts are computed in the step in which they get their slots, and make it
 * longer.
 *
 * @param streams all begin at once, which is when sequences begin together
 * @param warmMs what enters before is not counted
 */
export function simulate(
  limits: QueueLimits,
  streams: readonly Stream[],
  { warmMs, endMs, seed = 1 }: { warmMs: number; endMs: number; seed?: number },
): Outcome {
  let draws = 0;
  const draw = (): number => uniform(seed, draws++);
  let ms = 0;
  const running: Running[] = [];
  const waiting: Running[] = [];
  const load = () => ({ running: running.length, waiting: waiting.length, memoryInUse: 0.9 });
  const queue = new Queue(limits, load, () => ms, draw);
  const outcome = { admitted: [] as Admission[], refused: [] as Outcome['refused'][number][] };
  let [busy, time] = [0, 0];
  const next = streams.map(({ perSecond }) => gap(perSecond, draw()));

  const arrive = ({ client, output }: Stream): void => {
    const { tokens: length, maxTokens } = output(draw());
    const admission: Admission = { client, enteredAt: ms, waited: null };
    const entry: Running = {
      length,
      admission,
      tokens: 0,
      firstTokenAt: null,
      prefillMs: null,
      request: {
        client,
        promptTokens: 1,
        sequences: 1,
        maxTokens,
        progress: () => ({
          firstTokenAt: entry.firstTokenAt,
          tokens: entry.tokens,
          isPaused: false,
        }),
      },
    };
    try {
      queue.enter(entry.request);
    } catch (error) {
      if (!(error instanceof OctavoError)) throw error;
      if (ms >= warmMs) outcome.refused.push({ client, error });
      return;
    }
    waiting.push(entry);
    if (ms >= warmMs) outcome.admitted.push(admission);
  };

  while (ms < endMs) {
    const begun: Running[] = [];
    while (running.length < limits.slots && waiting.length > 0 && begun.length < PROMPTS) {
      const entry = waiting.shift() as Running;
      entry.admission.waited = ms - entry.admission.enteredAt;
      begun.push(entry);
      running.push(entry);
    }
    const stepMs = STEP_MS + SEQUENCE_MS * running.length + PROMPT_MS * begun.length;
    const until = ms + stepMs;
    if (ms >= warmMs) [busy, time] = [busy + running.length * stepMs, time + stepMs];
    for (;;) {
      const soonest = Math.min(...next);
      if (soonest > until) break;
      const index = next.indexOf(soonest);
      ms = Math.max(ms, soonest);
      arrive(streams[index]);
      next[index] += gap(streams[index].perSecond, draw());
    }
    ms = until;
    for (const entry of begun) [entry.firstTokenAt, entry.prefillMs] = [ms, stepMs];
    for (const entry of running) entry.tokens += 1;
    for (const entry of running.filter(({ tokens, length }) => tokens >= length)) {
      running.splice(running.indexOf(entry), 1);
      queue.leave(entry.request, {
        queueMs: entry.admission.waited,
        prefillMs: entry.prefillMs,
      });
    }
  }
  return { ...outcome, utilization: busy / time / limits.slots };
}

/** Milliseconds to the next arrival. */
const gap = (perSecond: number, draw: number): number => (-1000 * Math.log(1 - draw)) / perSecond;
