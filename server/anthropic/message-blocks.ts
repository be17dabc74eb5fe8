import type { MessageEvent } from '../../engine/generation/message-reader.js';
import { toolInput } from '../../engine/tools/tool-input.js';

/** An event of a message's stream. */
export interface StreamEvent {
  readonly type: string;
  readonly [field: string]: unknown;
}

/** A block that is complete. */
export type AnswerBlock =
  | { readonly type: 'text'; readonly text: string; readonly citations: null }
  | { readonly type: 'thinking'; readonly thinking: string; readonly signature: string }
  | {
      readonly type: 'tool_use';
      readonly id: string;
      readonly name: string;
      readonly input: object;
      readonly caller: { readonly type: 'direct' };
    };

/** How a block grows. */
type Growing =
  | { readonly type: 'text' | 'thinking'; text: string }
  | { readonly type: 'tool_use'; readonly id: string; readonly name: string; text: string };

/**
 * Nothing is signed here: reasoning that comes back is read as it is. Clients drop blocks of
 * reasoning that have no signature.
 */
const SIGNATURE = 'octavo';

/**
 * The blocks of a message while they grow, one at a time. Every call returns the events that a
 * stream tells it with, so that the blocks of a streamed message and of a whole one cannot differ.
 */
export class MessageBlocks {
  readonly #newCallId: () => string;
  readonly #showsThinking: boolean;
  readonly #done: AnswerBlock[] = [];
  #open: Growing | null = null;
  #calls = 0;

  /** @param showsThinking false: blocks of reasoning come without their text */
  constructor(options: { readonly newCallId: () => string; readonly showsThinking: boolean }) {
    this.#newCallId = options.newCallId;
    this.#showsThinking = options.showsThinking;
  }

  /** Those that are complete. */
  get blocks(): readonly AnswerBlock[] {
    return this.#done;
  }

  /** Number of tools that the message calls. */
  get calls(): number {
    return this.#calls;
  }

  take(event: MessageEvent): StreamEvent[] {
    switch (event.kind) {
      case 'content':
        return this.#grow('text', event.text);
      case 'reasoning':
        return this.#grow('thinking', event.text);
      case 'call':
        this.#calls++;
        return this.#begin({
          type: 'tool_use',
          id: this.#newCallId(),
          name: event.name,
          text: '',
        });
      case 'arguments': {
        const open = this.#open;
        if (open?.type !== 'tool_use') throw new Error('no call is open');
        open.text += event.text;
        return [this.#delta({ type: 'input_json_delta', partial_json: event.text })];
      }
      case 'end':
        return this.end();
    }
  }

  /** Ends the block that is open, if there is one. */
  end(): StreamEvent[] {
    const open = this.#open;
    if (open === null) return [];
    const signed =
      open.type === 'thinking'
        ? [this.#delta({ type: 'signature_delta', signature: SIGNATURE })]
        : [];
    const stop = { type: 'content_block_stop', index: this.#done.length };
    this.#open = null;
    this.#done.push(toBlock(open));
    return [...signed, stop];
  }

  #grow(type: 'text' | 'thinking', text: string): StreamEvent[] {
    if (text === '') return [];
    const begun = this.#open?.type === type ? [] : this.#begin({ type, text: '' });
    if (type === 'thinking' && !this.#showsThinking) return begun;
    if (this.#open) this.#open.text += text;
    const delta =
      type === 'text' ? { type: 'text_delta', text } : { type: 'thinking_delta', thinking: text };
    return [...begun, this.#delta(delta)];
  }

  /** What was open is complete. */
  #begin(open: Growing): StreamEvent[] {
    const ended = this.end();
    this.#open = open;
    const block = toBlock(open);
    const content_block = block.type === 'thinking' ? { ...block, signature: '' } : block;
    return [...ended, { type: 'content_block_start', index: this.#done.length, content_block }];
  }

  #delta(delta: object): StreamEvent {
    return { type: 'content_block_delta', index: this.#done.length, delta };
  }
}

function toBlock(growing: Growing): AnswerBlock {
  const { text } = growing;
  switch (growing.type) {
    case 'text':
      return { type: 'text', text, citations: null };
    case 'thinking':
      return { type: 'thinking', thinking: text, signature: SIGNATURE };
    case 'tool_use': {
      const { id, name } = growing;
      return { type: 'tool_use', id, name, input: toolInput(text), caller: { type: 'direct' } };
    }
  }
}
