import { newItemId } from './ids.js';
import { type FunctionCallItem, type OutputItem, outputText } from './items.js';

/** An event of a response's stream, without its sequence number. */
export interface ResponseEvent {
  readonly type: `response.${string}`;
  readonly [field: string]: unknown;
}

/** How an item's text grows. */
type Growing =
  | { readonly kind: 'message' | 'reasoning'; readonly id: string; text: string }
  | {
      readonly kind: 'function_call';
      readonly id: string;
      readonly callId: string;
      readonly name: string;
      /** The arguments. */
      text: string;
    };

/**
 * The items of a response while they grow, one at a time. Every call returns the events that a stream tells it with, so that the items
 * of a streamed answer and of a whole one cannot differ.
 */
export class OutputItems {
  readonly #done: OutputItem[] = [];
  #open: Growing | null = null;

  /** Those that are complete. */
  get items(): readonly OutputItem[] {
    return this.#done;
  }

  /** More of the answer's text; a message begins unless one is open. */
  text(delta: string): ResponseEvent[] {
    return delta === '' ? [] : this.#grow('message', delta);
  }

  /** More of what the model thinks before it answers. */
  reasoning(delta: string): ResponseEvent[] {
    return delta === '' ? [] : this.#grow('reasoning', delta);
  }

  /** A call begins; what was open is complete. */
  beginCall(callId: string, name: string): ResponseEvent[] {
    return [
      ...this.#close('completed'),
      ...this.#begin({ kind: 'function_call', id: newItemId('fc'), callId, name, text: '' }),
    ];
  }

  /** More of the open call's arguments. */
  callArguments(delta: string): ResponseEvent[] {
    const open = this.#open;
    if (open?.kind !== 'function_call') throw new Error('no function call is open');
    if (delta === '') return [];
    open.text += delta;
    return [{ type: 'response.function_call_arguments.delta', ...this.#place(open), delta }];
  }

  /** The open call is complete, whatever comes behind it. */
  endCall(): ResponseEvent[] {
    return this.#open?.kind === 'function_call' ? this.#close('completed') : [];
  }

  /** Ends the last item. An answer without any gets an empty message: clients look for one. */
  end(status: 'completed' | 'incomplete'): ResponseEvent[] {
    const begun =
      this.#open === null && this.#done.length === 0
        ? this.#begin({ kind: 'message', id: newItemId('msg'), text: '' })
        : [];
    return [...begun, ...this.#close(status)];
  }

  #grow(kind: 'message' | 'reasoning', delta: string): ResponseEvent[] {
    let events: ResponseEvent[] = [];
    let open = this.#open;
    if (open?.kind !== kind) {
      open = { kind, id: newItemId(kind === 'message' ? 'msg' : 'rs'), text: '' };
      events = [...this.#close('completed'), ...this.#begin(open)];
    }
    open.text += delta;
    const type =
      kind === 'message' ? 'response.output_text.delta' : 'response.reasoning_text.delta';
    const logprobs = kind === 'message' ? { logprobs: [] } : {};
    return [...events, { type, ...this.#place(open), content_index: 0, delta, ...logprobs }];
  }

  #begin(open: Growing): ResponseEvent[] {
    this.#open = open;
    const output_index = this.#done.length;
    const item = toItem(open, 'in_progress');
    const added = { type: 'response.output_item.added', output_index, item } as const;
    if (open.kind === 'function_call') return [added];
    const part = partOf(open);
    return [
      added,
      { type: 'response.content_part.added', ...this.#place(open), content_index: 0, part },
    ];
  }

  #close(status: 'completed' | 'incomplete'): ResponseEvent[] {
    const open = this.#open;
    if (open === null) return [];
    const place = this.#place(open);
    const item = toItem(open, status);
    const done = {
      type: 'response.output_item.done',
      output_index: this.#done.length,
      item,
    } as const;
    this.#open = null;
    this.#done.push(item);
    const { text } = open;
    if (open.kind === 'function_call') {
      return [{ type: 'response.function_call_arguments.done', ...place, arguments: text }, done];
    }
    const textDone: ResponseEvent =
      open.kind === 'message'
        ? { type: 'response.output_text.done', ...place, content_index: 0, text, logprobs: [] }
        : { type: 'response.reasoning_text.done', ...place, content_index: 0, text };
    const part = partOf(open);
    const partDone = {
      type: 'response.content_part.done',
      ...place,
      content_index: 0,
      part,
    } as const;
    return [textDone, partDone, done];
  }

  #place(open: Growing): { item_id: string; output_index: number } {
    return { item_id: open.id, output_index: this.#done.length };
  }
}

const partOf = ({ kind, text }: Growing) =>
  kind === 'message' ? outputText(text) : ({ type: 'reasoning_text', text } as const);

/** An item that has only begun shows none of its content: the events after it bring that. */
function toItem(open: Growing, status: FunctionCallItem['status']): OutputItem {
  const { id, text } = open;
  const begun = status === 'in_progress';
  switch (open.kind) {
    case 'message': {
      const content = begun ? [] : [outputText(text)];
      return { id, type: 'message', status, role: 'assistant', content };
    }
    case 'reasoning': {
      const content = begun ? [] : [{ type: 'reasoning_text' as const, text }];
      return { id, type: 'reasoning', status, summary: [], content };
    }
    case 'function_call':
      return {
        id,
        type: 'function_call',
        status,
        call_id: open.callId,
        name: open.name,
        arguments: text,
      };
  }
}
