import { fromErrorRecord, type OctavoError } from '../errors.js';
import type { EngineCommand, EngineMessage } from '../protocol/messages.js';
import type { AdapterInfo } from '../protocol/options.js';
import type { EngineAdapters } from './engine-port.js';

type Answer = Extract<EngineMessage, { type: 'adapterDone' }>;

/** The adapters of an engine's thread. */
export class WorkerAdapters implements EngineAdapters {
  readonly #send: (command: EngineCommand) => void;
  /** Callers that wait for an answer, in the order of their commands. */
  readonly #waiting: { resolve: () => void; reject: (error: OctavoError) => void }[] = [];
  #list: readonly AdapterInfo[];
  #failure: OctavoError | null = null;

  constructor(list: readonly AdapterInfo[], send: (command: EngineCommand) => void) {
    this.#list = list;
    this.#send = send;
  }

  get list(): readonly AdapterInfo[] {
    return this.#list;
  }

  async load(name: string, directory: string, inPlace = false): Promise<AdapterInfo> {
    await this.#ask({ type: 'loadAdapter', name, directory, inPlace });
    const loaded = this.#list.find((info) => info.name === name);
    if (!loaded) throw new Error(`the engine has loaded ${name}, and does not list it`);
    return loaded;
  }

  async unload(name: string): Promise<void> {
    await this.#ask({ type: 'unloadAdapter', name });
  }

  receive({ adapters, error }: Answer): void {
    this.#list = adapters;
    const caller = this.#waiting.shift();
    if (error) caller?.reject(fromErrorRecord(error));
    else caller?.resolve();
  }

  /** The thread has ended: nothing will be answered. */
  fail(reason: OctavoError): void {
    this.#failure = reason;
    for (const { reject } of this.#waiting.splice(0)) reject(reason);
  }

  #ask(command: EngineCommand): Promise<void> {
    return new Promise((resolve, reject) => {
      if (this.#failure) return reject(this.#failure);
      this.#waiting.push({ resolve, reject });
      this.#send(command);
    });
  }
}
