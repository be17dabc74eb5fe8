import type { SequenceId } from '../../scheduler/ids.js';
import type { EngineCore } from '../core/engine-core.js';
import type { GrammarConstraint, GrammarSource } from '../core/grammar-source.js';
import { type ErrorRecord, OctavoError, toErrorRecord } from '../errors.js';
import type { EngineCommand, EngineMessage } from '../protocol/messages.js';
import type { SequenceOutput } from '../protocol/outputs.js';
import type { EngineStats, TierName } from '../protocol/reports.js';
import type { EngineRequest } from '../protocol/request.js';
import { GrammarGate } from './grammar-gate.js';
import { SnapshotFeed } from './snapshot-feed.js';

/** Idle time in milliseconds after which the engine verifies its invariants once. */
const IDLE_CHECK_MS = 1000;

type AdapterCommand = Extract<EngineCommand, { type: 'loadAdapter' | 'unloadAdapter' }>;

export interface EngineLoopOptions {
  readonly idleCheckMs?: number;
  /** Monotonic, milliseconds. */
  readonly now?: () => number;
}

/**
 * Drives an `EngineCore`. Commands arrive at any time and take effect between two steps; each
 * step's outputs are sent in one message for all sequences.
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
  /** Whether the figures have changed since they were last sent. */
  #hasNews = false;
  /** Resolves when all commands of adapters are answered. */
  #adapterWork: Promise<void> = Promise.resolve();
  /** Resolves when all resets of the prefix cache are answered. */
  #resets: Promise<void> = Promise.resolve();

  /**
   * @param grammars compiles the grammars of requests, which wait outside the loop meanwhile;
   *   closed with the loop
   */
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

  /** Accepts a command; it takes effect before the next step. */
  post(command: EngineCommand): void {
    this.#inbox.push(command);
    this.#wake?.();
  }

  /**
   * Runs until a `close` command; sleeps while nothing can run. Rejects when a step does, or when
   * the idle engine's blocks and requests are inconsistent; both are final.
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
        this.#sendCacheEvents();
        this.#snapshots.touch();
      }
    } finally {
      this.#core.dispose();
      await this.#resets;
      await this.#adapterWork;
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
        case 'unpin':
          this.#core.unpin(command.name);
          this.#hasNews = true;
          break;
        case 'loadAdapter':
        case 'unloadAdapter':
          this.#adapterWork = this.#answerAdapter(command, this.#adapterWork);
          break;
        case 'resetPrefixCache':
          this.#resetPrefixCache(command.tiers);
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

  /** Pages are emptied at once; steps go on while tiers forget what they hold. */
  #resetPrefixCache(alsoTiers: boolean): void {
    const done = this.#core.resetPrefixCache();
    this.#sendCacheEvents();
    const cleared = done && alsoTiers ? this.#core.clearTiers() : Promise.resolve([]);
    this.#resets = this.#answerReset(done, cleared, this.#resets);
  }

  async #answerReset(
    done: boolean,
    cleared: Promise<readonly TierName[]>,
    before: Promise<void>,
  ): Promise<void> {
    const failed = await cleared;
    await before;
    this.#send({ type: 'prefixCacheReset', done, ...(failed.length > 0 && notCleared(failed)) });
  }

  /** Steps go on while an adapter is read. */
  async #answerAdapter(command: AdapterCommand, before: Promise<void>): Promise<void> {
    await before;
    const core = this.#core;
    const answer: { error?: ErrorRecord } = {};
    try {
      if (command.type === 'unloadAdapter') core.unloadAdapter(command.name);
      else await core.loadAdapter(command.name, command.directory, command.inPlace);
    } catch (error) {
      answer.error = toErrorRecord(knownError('the adapter', error));
    }
    this.#send({ type: 'adapterDone', adapters: core.adapters ?? [], ...answer });
  }

  #sendCacheEvents(): void {
    const events = this.#core.takeCacheEvents();
    if (events) this.#send({ type: 'cacheEvents', events });
  }

  /** Blocks may have become free: listeners must not have to wait for the next request's step. */
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
      if ('error' in admission)
        this.#refuse(admission.request.ids, knownError('the grammar', admission.error));
      else this.#add(admission.request, admission.constraints);
    }
  }

  /** Ends sequences whose grammar has failed; their outputs of this step were chosen without it. */
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
          // Tiers have written, by now, what was behind the last step.
          this.#hasNews ||= this.#core.stats.tiers !== undefined;
          this.#tellNews();
        } catch (error) {
          reject(error);
        }
      }, this.#idleCheckMs);
      // The last change before the sleep may be too close to the previous snapshot.
      const due = this.#snapshots.dueIn;
      // Timers may be a millisecond early.
      if (due !== null) picture = setTimeout(() => this.#snapshots.sendIfDue(), Math.ceil(due) + 1);
    });
    clearTimeout(check);
    clearTimeout(picture);
    this.#wake = null;
  }
}

function notCleared(tiers: readonly TierName[]): { readonly error: ErrorRecord } {
  const what = `the pages are empty, but not ${tiers.join(' and ')}: the log says why`;
  return { error: toErrorRecord(new OctavoError('kv_tier_not_cleared', what)) };
}

/** Of a grammar or an adapter: it fails what asks for it, never the engine. */
function knownError(what: string, error: unknown): OctavoError {
  if (error instanceof OctavoError) return error;
  const message = error instanceof Error ? error.message : String(error);
  return new OctavoError('internal', `${what}: ${message}`, { cause: error });
}
