import { BlockHistory } from '../../kvcache/block-history.js';
import { KvCacheManager } from '../../kvcache/kv-cache-manager.js';
import { Scheduler } from '../../scheduler/scheduler.js';
import type { StepPlan } from '../../scheduler/step-plan.js';
import { OctavoError } from '../errors.js';
import { TRACE_VERSION, type TraceEvent } from './step-trace.js';
import { ReplayedTiers } from './tier-answers.js';

/** The first difference between this code's results and a trace. */
export interface TraceDifference {
  /** Line number, from 1. */
  readonly line: number;
  readonly event: TraceEvent['event'];
  /**
   * The first place in the result that differs, such as `sequences[0].numComputed`; empty for the
   * result itself.
   */
  readonly at: string;
  readonly traced: unknown;
  readonly replayed: unknown;
}

export interface ReplayResult {
  readonly runs: number;
  readonly requests: number;
  readonly steps: number;
  /** Null when all results are the same. Later events were not replayed. */
  readonly difference: TraceDifference | null;
}

/** One run of a trace, on its own scheduler. */
class Run {
  readonly #scheduler: Scheduler;
  readonly #cache: KvCacheManager;
  readonly #tiers = new ReplayedTiers();
  #plan: StepPlan | null = null;

  constructor({ scheduler, cache }: TraceEvent & { event: 'start' }) {
    const { numBlocks } = cache;
    const history = new BlockHistory({
      numBlocks,
      now: () => 0,
      sampleRate: 0,
      random: () => 0,
    });
    this.#cache = new KvCacheManager({ ...cache, history });
    this.#scheduler = new Scheduler(scheduler, this.#cache, this.#tiers);
  }

  /** @returns the scheduler's result */
  call(event: Exclude<TraceEvent, { event: 'start' }>): unknown {
    const scheduler = this.#scheduler;
    switch (event.event) {
      case 'add':
        return scheduler.add(event.spec);
      case 'abort':
      case 'pause':
      case 'resume':
        return scheduler[event.event](event.id);
      case 'unpin':
        return this.#cache.unpin(event.name);
      case 'resetPrefixCache':
        return this.#cache.resetPrefixCache();
      case 'schedule': {
        const proposals = event.proposals.values();
        const held = new Set(event.held);
        this.#tiers.expect(event.tiers);
        this.#plan = scheduler.schedule(() => proposals.next().value ?? [], held);
        return this.#plan;
      }
      case 'apply': {
        if (!this.#plan) throw new Error('no plan was made before it');
        return scheduler.apply(this.#plan, event.updates);
      }
    }
  }

  checkIntegrity(): void {
    this.#scheduler.checkIntegrity();
  }
}

/**
 * Repeats the calls of a trace, and compares every result with the recorded one.
 *
 * @throws OctavoError `usage` for a line that is no event of a trace
 */
export async function replayTrace(
  lines: AsyncIterable<string> | Iterable<string>,
): Promise<ReplayResult> {
  const counts = { runs: 0, requests: 0, steps: 0 };
  let run: Run | null = null;
  let line = 0;
  for await (const text of lines) {
    line += 1;
    if (text.trim() === '') continue;
    const event = parseEvent(text, line);
    if (event.event === 'start') {
      run = new Run(event);
      counts.runs += 1;
      continue;
    }
    if (!run) throw new OctavoError('usage', `line ${line}: a trace begins with a start event`);
    if (event.event === 'add') counts.requests += 1;
    if (event.event === 'schedule' && event.answer) counts.steps += 1;
    const place = replayEvent(run, event);
    if (place) return { ...counts, difference: { line, event: event.event, ...place } };
  }
  return { ...counts, difference: null };
}

function parseEvent(text: string, line: number): TraceEvent {
  let event: Partial<TraceEvent> | null;
  try {
    event = JSON.parse(text) as Partial<TraceEvent> | null;
  } catch (error) {
    throw new OctavoError('usage', `line ${line}: not JSON`, { cause: error });
  }
  if (typeof event?.event !== 'string') {
    throw new OctavoError('usage', `line ${line}: no event of a trace`);
  }
  if (event.event === 'start' && event.version !== TRACE_VERSION) {
    const problem = `version ${event.version} of traces, this program reads ${TRACE_VERSION}`;
    throw new OctavoError('usage', `line ${line}: ${problem}`);
  }
  return event as TraceEvent;
}

interface Place {
  readonly at: string;
  readonly traced: unknown;
  readonly replayed: unknown;
}

/** @returns the place of the difference; an error that is thrown now differs from every result */
function replayEvent(run: Run, event: Exclude<TraceEvent, { event: 'start' }>): Place | null {
  try {
    // In the form in which it is written.
    const answer = JSON.parse(JSON.stringify(run.call(event))) as unknown;
    if (event.event === 'apply') run.checkIntegrity();
    return firstDifference(event.answer, answer, '');
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    return { at: '', traced: event.answer, replayed: { error: message } };
  }
}

function firstDifference(traced: unknown, replayed: unknown, at: string): Place | null {
  if (Object.is(traced, replayed)) return null;
  if (!isRecord(traced) || !isRecord(replayed)) return { at, traced, replayed };
  for (const key of new Set([...Object.keys(traced), ...Object.keys(replayed)])) {
    const step = Array.isArray(traced) ? `[${key}]` : `${at === '' ? '' : '.'}${key}`;
    const place = firstDifference(traced[key], replayed[key], at + step);
    if (place) return place;
  }
  return null;
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null;
}
