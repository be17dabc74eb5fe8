import { CustomInput } from './custom-input.js';
import { newItemId } from './ids.js';
import { type FunctionCallItem, type OutputItem, outputText } from './items.js';

/** An event of a response's stream, without its sequence number. */
export interface ResponseEvent {
  readonly type: `response.${string}`;
  readonly [field: string]: unknown;
}

/** How an item's text grows. */
type Growing =
  | { readonly kind: 'message'; readonly id: string; text: string; readonly logprobs: object[] }
  | { readonly kind: 'reasoning'; readonly id: string; text: string }
  | {
      readonly kind: 'function_call';
      readonly id: string;
      readonly callId: string;
      readonly name: string;
      /** The arguments. */
      text: string;
    }
  | {
      readonly kind: 'custom_tool_call';
      readonly id: string;
      readonly callId: string;
      readonly name: string;
      readonly reader: CustomInput;
      /** The input. */
      text: string;
    };

type GrowingCall = Extract<Growing, { callId: string }>;

const isCall = (open: Growing | null): open is GrowingCall =>
  open?.kind === 'function_call' || open?.kind === 'custom_tool_call';

/**
 * The items of a response while they grow, one at a time. Every call returns the events that a
 * stream tells it with, so that the items of a streamed answer and of a whole one cannot differ.
 */
export class OutputItems {
  readonly #done: OutputItem[] = [];
  readonly #customTools: ReadonlySet<string>;
  #open: Growing | null = null;

  /** @param customTools names of the tools whose input is a text */
  constructor(customTools: ReadonlySet<string> = new Set()) {
    this.#customTools = customTools;
  }

  /** Those that are complete. */
  get items(): readonly OutputItem[] {
    return this.#done;
  }

  /** More of the answer's text; a message begins unless one is open. */
  text(delta: string, logprobs: readonly object[] = []): ResponseEvent[] {
    if (delta === '' && logprobs.length === 0) return [];
    const begun = this.#open?.kind === 'message' ? [] : this.#begin(newMessage());
    const open = this.#open;
    if (open?.kind !== 'message') throw new Error('no message is open');
    open.text += delta;
    open.logprobs.push(...logprobs);
    const place = { ...this.#place(open), content_index: 0 };
    return [...begun, { type: 'response.output_text.delta', ...place, delta, logprobs }];
  }

  /** More of what the model thinks before it answers. */
  reasoning(delta: string): ResponseEvent[] {
    if (delta === '') return [];
    const begun =
      this.#open?.kind === 'reasoning'
        ? []
        : this.#begin({ kind: 'reasoning', id: newItemId('rs'), text: '' });
    const open = this.#open;
    if (open?.kind !== 'reasoning') throw new Error('no reasoning is open');
    open.text += delta;
    const place = { ...this.#place(open), content_index: 0 };
    return [...begun, { type: 'response.reasoning_text.delta', ...place, delta }];
  }

  /** A call begins; what was open is complete. */
  beginCall(callId: string, name: string): ResponseEvent[] {
    if (!this.#customTools.has(name)) {
      return this.#begin({ kind: 'function_call', id: newItemId('fc'), callId, name, text: '' });
    }
    const id = newItemId('ctc');
    const reader = new CustomInput();
    return this.#begin({ kind: 'custom_tool_call', id, callId, name, reader, text: '' });
  }

  /** More of the open call's arguments. */
  callArguments(delta: string): ResponseEvent[] {
    const open = this.#open;
    if (!isCall(open)) throw new Error('no call is open');
    return this.#grow(open, open.kind === 'custom_tool_call' ? open.reader.push(delta) : delta);
  }

  /** The open call is complete, whatever comes behind it. */
  endCall(): ResponseEvent[] {
    return isCall(this.#open) ? this.#close('completed') : [];
  }

  /** Ends the last item. An answer without any gets an empty message: clients look for one. */
  end(status: 'completed' | 'incomplete'): ResponseEvent[] {
    const begun = this.#open === null && this.#done.length === 0 ? this.#begin(newMessage()) : [];
    return [...begun, ...this.#close(status)];
  }

  /** What was open is complete. */
  #begin(open: Growing): ResponseEvent[] {
    const closed = this.#close('completed');
    this.#open = open;
    const output_index = this.#done.length;
    const item = toItem(open, 'in_progress');
    const added = { type: 'response.output_item.added', output_index, item } as const;
    if (isCall(open)) return [...closed, added];
    const part = partOf(open);
    return [
      ...closed,
      added,
      { type: 'response.content_part.added', ...this.#place(open), content_index: 0, part },
    ];
  }

  #close(status: 'completed' | 'incomplete'): ResponseEvent[] {
    const open = this.#open;
    if (open === null) return [];
    const rest = open.kind === 'custom_tool_call' ? this.#grow(open, open.reader.end()) : [];
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
    if (open.kind === 'custom_tool_call') {
      const type = 'response.custom_tool_call_input.done';
      return [...rest, { type, ...place, input: text }, done];
    }
    const textDone: ResponseEvent =
      open.kind === 'message'
        ? {
            type: 'response.output_text.done',
            ...place,
            content_index: 0,
            text,
            logprobs: open.logprobs,
          }
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

  #grow(open: GrowingCall, delta: string): ResponseEvent[] {
    if (delta === '') return [];
    open.text += delta;
    const type =
      open.kind === 'function_call'
        ? 'response.function_call_arguments.delta'
        : 'response.custom_tool_call_input.delta';
    return [{ type, ...this.#place(open), delta }];
  }

  #place(open: Growing): { item_id: string; output_index: number } {
    return { item_id: open.id, output_index: this.#done.length };
  }
}

const newMessage = (): Growing => ({
  kind: 'message',
  id: newItemId('msg'),
  text: '',
  logprobs: [],
});

const partOf = (open: Exclude<Growing, GrowingCall>) =>
  open.kind === 'message'
    ? // A copy: the part of a message that begins stays empty.
      outputText(open.text, [...open.logprobs])
    : ({ type: 'reasoning_text', text: open.text } as const);

/** An item that has only begun shows none of its content: the events after it bring that. */
function toItem(open: Growing, status: FunctionCallItem['status']): OutputItem {
  const { id, text } = open;
  const begun = status === 'in_progress';
  switch (open.kind) {
    case 'message': {
      const content = begun ? [] : [outputText(text, open.logprobs)];
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
    case 'custom_tool_call': {
      const { callId: call_id, name } = open;
      return { id, type: 'custom_tool_call', status, call_id, name, input: text };
    }
  }
}
