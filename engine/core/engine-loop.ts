import { OctavoError, toErrorRecord } from '../errors.js';
import type { EngineCore } from './engine-core.js';
import type { EngineCommand, EngineMessage } from './protocol.js';

/**
 * Drives an `EngineCore`: commands come in at any time and take effect between two steps; each step's outputs go out
 * in one message for all sequences.
 */
export class EngineLoop {
  readonly #core: EngineCore;
  readonly #send: (message: EngineMessage) => void;
  readonly #inbox: EngineCommand[] = [];
  #wake: (() => void) | null = null;
  #closed = false;

  constructor(core: EngineCore, send: (message: EngineMessage) => void) {
    this.#core = core;
    this.#send = send;
  }

  /** Takes a command; it has its effect before the next step. */
  post(command: EngineCommand): void {
    this.#inbox.push(command);
    this.#wake?.();
  }

  /** Runs until a `close` command; sleeps while there is no work. Rejects when a step does: that is final. */
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
        this.#send({ type: 'step', outputs, stats: this.#core.stats });
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
            this.#send({ type: 'step', outputs: [], stats: this.#core.stats });
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
    await new Promise<void>((resolve) => {
      this.#wake = resolve;
    });
    this.#wake = null;
  }
}
