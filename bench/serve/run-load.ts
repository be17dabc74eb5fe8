import type { StreamingClient } from './client.js';
import type { Arrivals } from './options.js';
import { arrivalTimes } from './schedule.js';
import type { RequestResult } from './stream-record.js';
import type { Conversation, Workload } from './workload.js';

/** A request of the run; times are milliseconds since the run began. */
export interface LoadResult extends Omit<RequestResult, 'sentAt' | 'firstTokenAt' | 'endedAt'> {
  readonly conversation: number;
  readonly turn: number;
  /**
   * When the request should have been sent. Latencies count from here: a generator that is late
   * must not make the server look fast (coordinated omission).
   */
  readonly dueMs: number;
  readonly sentMs: number;
  readonly firstTokenMs: number | null;
  readonly endMs: number;
}

/** What a run is doing; updated while it runs. */
export interface LoadState {
  running: number;
  /** Chunks with output, of all requests. */
  chunks: number;
  readonly results: LoadResult[];
}

export interface LoadOptions {
  readonly workload: Workload;
  readonly client: Pick<StreamingClient, 'send'>;
  readonly arrivals: Arrivals;
  /** Conversations. */
  readonly count: number;
  readonly seed: number;
  readonly signal: AbortSignal;
  readonly now: () => number;
  /** Resolves after `ms`, or at once when the signal is aborted. */
  readonly sleep: (ms: number, signal: AbortSignal) => Promise<void>;
  readonly state: LoadState;
}

export function newLoadState(): LoadState {
  return { running: 0, chunks: 0, results: [] };
}

/**
 * Runs the load to its end, or until the signal: what runs is cut then. All that happened is in
 * `state.results`.
 */
export async function runLoad(options: LoadOptions): Promise<void> {
  const start = options.now();
  if (options.arrivals.kind === 'closed') {
    await runClosed(options, start, options.arrivals.concurrency);
  } else {
    await runOpen(options, start, options.arrivals);
  }
}

/** Each conversation begins at its time, whatever became of those before. */
async function runOpen(
  options: LoadOptions,
  start: number,
  arrivals: Exclude<Arrivals, { kind: 'closed' }>,
): Promise<void> {
  const { count, seed, signal, now, sleep, workload } = options;
  const times = arrivalTimes(arrivals, seed);
  const running: Promise<void>[] = [];
  for (let index = 0; index < count; index++) {
    const due = start + times.next().value;
    const wait = due - now();
    if (wait > 0) await sleep(wait, signal);
    if (signal.aborted) break;
    running.push(converse(options, workload.conversation(index), start, due));
  }
  await Promise.all(running);
}

/** Runs `concurrency` conversations at a time, each followed by the next. */
async function runClosed(options: LoadOptions, start: number, concurrency: number): Promise<void> {
  const { count, signal, workload, now } = options;
  let next = 0;
  const worker = async (): Promise<void> => {
    while (next < count && !signal.aborted) {
      await converse(options, workload.conversation(next++), start, now());
    }
  };
  await Promise.all(Array.from({ length: Math.min(concurrency, count) }, worker));
}

/** Its turns in order, each when the one before is answered; a failure ends it. */
async function converse(
  { client, signal, now, state }: LoadOptions,
  conversation: Conversation,
  start: number,
  firstDue: number,
): Promise<void> {
  const answers: string[] = [];
  let due = firstDue;
  for (const [turn, maxTokens] of conversation.outputTokens.entries()) {
    if (signal.aborted) return;
    state.running++;
    const prompt = conversation.prompt(answers);
    const result = await client.send(prompt, maxTokens, signal, () => void state.chunks++);
    state.running--;
    const { sentAt, firstTokenAt, endedAt, ...rest } = result;
    state.results.push({
      ...rest,
      conversation: conversation.index,
      turn,
      dueMs: due - start,
      sentMs: sentAt - start,
      firstTokenMs: firstTokenAt === null ? null : firstTokenAt - start,
      endMs: endedAt - start,
    });
    if (result.error !== null) return;
    answers.push(result.text);
    due = now();
  }
}
