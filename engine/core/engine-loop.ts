import { OctavoError, toErrorRecord } from '../errors.js';
import type { EngineCore } from './engine-core.js';
import type { EngineCommand, EngineMessage } from './protocol.js';

/** An engine that has had nothing to do for so long checks its own books, once. */
const IDLE_CHECK_MS = 1000;

/**
 * Drives an `EngineCore`: commands come in at any time and take effect between two steps; each step's outputs go out
 * in one message for all sequences.
 */
export class EngineLoop {
  readonly #core: EngineCore;
  readonly #send: (message: EngineMessage) => void;
  readonly #idleCheckMs: number;
  readonly #inbox: EngineCommand[] = [];
  #wake: (() => void) | null = null;
  #closed = false;

  constructor(
    core: EngineCore,
    send: (message: EngineMessage) => void,
    options: { readonly idleCheckMs?: number } = {},
  ) {
    this.#core = core;
    this.#idleCheckMs = options.idleCheckMs ?? IDLE_CHECK_MS;
    this.#send = send;
  }

  /** Takes a command; it has its effect before the next step. */
  post(command: EngineCommand): void {
    this.#inbox.push(command);
    this.#wake?.();
  }

  /**
   * Runs until a `close` command; sleeps while there is no work. Rejects when a step does, or when the idle engine's blocks and requests
   * contradict each other: both are final.
   */
  async run(): Promise<void> {
    try {
      for (;;) {
        this.#readInbox();
        if (this.#closed) return;
        if (!this.#core.hasWork) {
          await this.#nextCommand();
          continue;
        }
        const outputs = await this.#core.step();
        this.#send({ type: 'step', outputs, stats: this.#core.stats, report: this.#core.report });
      }
    } finally {
      this.#core.dispose();
    }
  }

  #readInbox(): void {
    for (const command of this.#inbox.splice(0)) {
      switch (command.type) {
        case 'submit':
          this.#submit(command);
          break;
        case 'abort':
          this.#core.abort(command.id);
          // The blocks are free now: whoever watches must not have to wait for the next request's step.
          if (!this.#core.hasWork)
            this.#send({ type: 'step', outputs: [], stats: this.#core.stats, report: null });
          break;
        case 'resetPrefixCache':
          this.#send({ type: 'prefixCacheReset', done: this.#core.resetPrefixCache() });
          break;
        case 'close':
          this.#closed = true;
          break;
      }
    }
  }

  #submit({ request }: Extract<EngineCommand, { type: 'submit' }>): void {
    try {
      this.#core.add(request);
    } catch (error) {
      if (!(error instanceof OctavoError)) throw error;
      this.#send({ type: 'refused', ids: request.ids, error: toErrorRecord(error) });
    }
  }

  async #nextCommand(): Promise<void> {
    if (this.#inbox.length > 0) return;
    let check: NodeJS.Timeout | undefined;
    await new Promise<void>((resolve, reject) => {
      this.#wake = resolve;
      check = setTimeout(() => {
        try {
          this.#core.checkIntegrity();
        } catch (error) {
          reject(error);
        }
      }, this.#idleCheckMs);
    });
    clearTimeout(check);
    this.#wake = null;
  }
}
