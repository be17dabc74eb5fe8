import type { Item, OutputItem } from './items.js';
import type { ResponseEvent } from './output-items.js';
import type { ResponseObject } from './response-object.js';
import type { StoredResponse } from './response-store.js';

/** The request that generates a background response. */
export interface BackgroundWork {
  /** All that the response is generated from. */
  readonly input: readonly Item[];
  /** Ends it. */
  readonly end: () => void;
}

/** A background response that is being generated, with its events from the first. */
export class RunningResponse {
  readonly #work: BackgroundWork;
  readonly #events: ResponseEvent[] = [];
  #response: ResponseObject;
  /** Readers that wait for an event. */
  #waiting: (() => void)[] = [];

  /** @param created as its first event shows it */
  constructor(created: ResponseObject, work: BackgroundWork) {
    this.#response = created;
    this.#work = work;
  }

  get stored(): StoredResponse {
    return { response: this.#response, input: this.#work.input };
  }

  get hasEnded(): boolean {
    return this.#response.status !== 'in_progress';
  }

  /**
   * Its events up to the last, those to come too.
   *
   * @param after number of the last event that the reader knows; -1: none
   */
  async *events(after: number): AsyncGenerator<ResponseEvent, void> {
    for (let next = after + 1; ; next++) {
      while (next >= this.#events.length) {
        if (this.hasEnded) return;
        await new Promise<void>((resolve) => void this.#waiting.push(resolve));
      }
      yield this.#events[next];
    }
  }

  push(event: ResponseEvent): void {
    this.#events.push(event);
    this.#response = (event['response'] as ResponseObject | undefined) ?? this.#response;
    this.#awaken();
  }

  /** Ends the work; the response is what was complete. Without effect on one that has ended. */
  cancel(): void {
    if (this.hasEnded) return;
    this.#response = { ...this.#response, status: 'cancelled', output: this.#complete() };
    this.#work.end();
    this.#awaken();
  }

  /** Nothing more comes. Without effect on a response that has ended. */
  stop(): void {
    if (this.hasEnded) return;
    const error = { code: 'server_error', message: 'the response was interrupted' } as const;
    const output = this.#complete();
    const response: ResponseObject = { ...this.#response, status: 'failed', output, error };
    this.push({ type: 'response.failed', sequence_number: this.#events.length, response });
  }

  #complete(): OutputItem[] {
    return this.#events.flatMap(({ type, item }) =>
      type === 'response.output_item.done' ? [item as OutputItem] : [],
    );
  }

  #awaken(): void {
    for (const resolve of this.#waiting.splice(0)) resolve();
  }
}
