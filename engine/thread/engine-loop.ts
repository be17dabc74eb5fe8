import type { SequenceId } from '../../scheduler/ids.js';
import type { EngineCore } from '../core/engine-core.js';
import type { GrammarConstraint, GrammarSource } from '../core/grammar-source.js';
import { OctavoError, toErrorRecord } from '../errors.js';
import type { EngineCommand, EngineMessage } from '../protocol/messages.js';
import type { SequenceOutput } from '../protocol/outputs.js';
import type { EngineStats } from '../protocol/reports.js';
import type { EngineRequest } from '../protocol/request.js';
import { GrammarGate } from './grammar-gate.js';
import { SnapshotFeed } from './snapshot-feed.js';

/** An engine that has had nothing to do for so long checks its own books, once. */
const IDLE_CHECK_MS = 1000;

export interface EngineLoopOptions {
  readonly idleCheckMs?: number;
  /** Monotonic, milliseconds. */
  readonly now?: () => number;
}

/**
 * Drives an `EngineCore`: commands come in at any time and take effect between two steps; each step's outputs go out
 * in one message for all sequences.
 */
export class EngineLoop {
  readonly #core: EngineCore;
  readonly #send: (message: EngineMessage) => void;
  readonly #idleCheckMs: number;
  readonly #inbox: EngineCommand[] = [];
  readonly #gate: GrammarGate;
  readonly #snapshots: SnapshotFeed;
  #wake: (() => void) | null = null;
  #closed = false;
  /** The figures have changed since the last message with them. */
  #hasNews = false;

  /** @param grammars for requests with a grammar, which wait beside the loop until it is compiled; closed with the loop */
  constructor(
    core: EngineCore,
    send: (message: EngineMessage) => void,
    grammars: GrammarSource,
    options: EngineLoopOptions = {},
  ) {
    this.#core = core;
    this.#idleCheckMs = options.idleCheckMs ?? IDLE_CHECK_MS;
    this.#send = send;
    this.#gate = new GrammarGate(grammars, () => this.#wake?.());
    this.#snapshots = new SnapshotFeed({
      take: () => ({ ...core.snapshot(), stats: this.#stats }),
      send: (snapshot) => send({ type: 'snapshot', snapshot }),
      now: options.now ?? (() => performance.now()),
    });
  }

  /** Takes a command; it has its effect before the next step. */
  post(command: EngineCommand): void {
    this.#inbox.push(command);
    this.#wake?.();
  }

  /**
   * Runs until a `close` command; sleeps while nothing can run. Rejects when a step does, or when the idle engine's blocks and requests
   * contradict each other: both are final.
   */
  async run(): Promise<void> {
    try {
      for (;;) {
        this.#readInbox();
        if (this.#closed) return;
        this.#admitReady();
        this.#snapshots.sendIfDue();
        const stepped = this.#core.hasWork ? await this.#core.step() : null;
        if (!stepped) {
          this.#tellNews();
          await this.#nextCommand();
          continue;
        }
        const outputs = this.#withoutFailed(stepped);
        this.#send({ type: 'step', outputs, stats: this.#stats, report: this.#core.report });
        this.#hasNews = false;
        this.#snapshots.touch();
      }
    } finally {
      this.#core.dispose();
      await this.#gate.close();
    }
  }

  get #stats(): EngineStats {
    const { stats } = this.#core;
    return { ...stats, waiting: stats.waiting + this.#gate.numWaiting };
  }

  #readInbox(): void {
    for (const command of this.#inbox.splice(0)) {
      this.#snapshots.touch();
      switch (command.type) {
        case 'submit':
          if (command.request.grammar === null) this.#add(command.request);
          else this.#gate.submit(command.request);
          break;
        case 'abort':
          if (!this.#gate.abort(command.id)) this.#core.abort(command.id);
          this.#gate.forget(command.id);
          this.#hasNews = true;
          break;
        case 'pause':
          this.#core.pause(command.ids);
          this.#hasNews = true;
          break;
        case 'resume':
          this.#core.resume(command.ids);
          this.#hasNews = true;
          break;
        case 'resetPrefixCache':
          this.#send({ type: 'prefixCacheReset', done: this.#core.resetPrefixCache() });
          break;
        case 'watch':
          this.#snapshots.watch(command.on);
          break;
        case 'close':
          this.#closed = true;
          break;
      }
    }
  }

  /** Blocks may be free now: whoever watches must not have to wait for the next request's step. */
  #tellNews(): void {
    if (!this.#hasNews) return;
    this.#hasNews = false;
    this.#send({ type: 'step', outputs: [], stats: this.#stats, report: null });
  }

  #add(request: EngineRequest, constraints: readonly GrammarConstraint[] = []): void {
    try {
      this.#core.add(request, constraints);
    } catch (error) {
      for (const id of request.ids) this.#gate.forget(id);
      this.#refuse(request.ids, error);
    }
  }

  #refuse(ids: readonly SequenceId[], error: unknown): void {
    if (!(error instanceof OctavoError)) throw error;
    this.#send({ type: 'refused', ids, error: toErrorRecord(error) });
  }

  #admitReady(): void {
    for (const admission of this.#gate.takeReady()) {
      if ('error' in admission) this.#refuse(admission.request.ids, knownError(admission.error));
      else this.#add(admission.request, admission.constraints);
    }
  }

  /** Ends completions whose grammar is lost; what this step gave them was chosen without it. */
  #withoutFailed(outputs: SequenceOutput[]): SequenceOutput[] {
    const failures = this.#gate.takeFailures();
    for (const { id, finishReason } of outputs) {
      if (finishReason !== null) this.#gate.forget(id);
    }
    if (failures.length === 0) return outputs;
    for (const { id, error } of failures) {
      this.#core.abort(id);
      this.#refuse([id], error);
    }
    const failed = new Set(failures.map(({ id }) => id));
    return outputs.filter(({ id }) => !failed.has(id));
  }

  async #nextCommand(): Promise<void> {
    if (this.#inbox.length > 0 || this.#gate.hasReady) return;
    let check: NodeJS.Timeout | undefined;
    let picture: NodeJS.Timeout | undefined;
    await new Promise<void>((resolve, reject) => {
      this.#wake = resolve;
      void this.#core.whenReady().then(resolve);
      check = setTimeout(() => {
        try {
          this.#core.checkIntegrity();
        } catch (error) {
          reject(error);
        }
      }, this.#idleCheckMs);
      // The last change before the sleep came too soon after a snapshot.
      const due = this.#snapshots.dueIn;
      // Timers may be a millisecond early.
      if (due !== null) picture = setTimeout(() => this.#snapshots.sendIfDue(), Math.ceil(due) + 1);
    });
    clearTimeout(check);
    clearTimeout(picture);
    this.#wake = null;
  }
}

/** Whatever goes wrong with a grammar is the request's misfortune, not the engine's. */
function knownError(error: unknown): OctavoError {
  if (error instanceof OctavoError) return error;
  const message = error instanceof Error ? error.message : String(error);
  return new OctavoError('internal', `the grammar: ${message}`, { cause: error });
}
