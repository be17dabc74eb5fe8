import type { MessageEvent } from '../../engine/generation/message-reader.js';
import { toolInput } from '../../engine/tools/tool-input.js';

/** A call as Ollama writes it: its arguments are an object, so it is told when it is complete. */
export interface ToolCall {
  readonly id: string;
  readonly function: {
    readonly index: number;
    readonly name: string;
    readonly arguments: object;
  };
}

/** What a chunk, or a whole answer, has of a message. */
export interface MessagePart {
  readonly content: string;
  readonly thinking?: string;
  readonly tool_calls?: readonly ToolCall[];
}

/** Makes of the events of one message what can be told of it so far. */
export class MessageParts {
  readonly #newCallId: () => string;
  #calls = 0;
  #open: { name: string; text: string } | null = null;

  constructor(newCallId: () => string) {
    this.#newCallId = newCallId;
  }

  /** @returns null when there is nothing to tell yet */
  take(events: readonly MessageEvent[], isEnd: boolean): MessagePart | null {
    let [content, thinking] = ['', ''];
    const calls: ToolCall[] = [];
    const close = (): void => {
      if (this.#open === null) return;
      const { name, text } = this.#open;
      this.#open = null;
      const index = this.#calls++;
      calls.push({
        id: this.#newCallId(),
        function: { index, name, arguments: toolInput(text) },
      });
    };
    for (const event of events) {
      if (event.kind === 'content') content += event.text;
      else if (event.kind === 'reasoning') thinking += event.text;
      else if (event.kind === 'arguments') {
        if (this.#open) this.#open.text += event.text;
      } else {
        close();
        if (event.kind === 'call') this.#open = { name: event.name, text: '' };
      }
    }
    if (isEnd) close();
    if (content === '' && thinking === '' && calls.length === 0) return null;
    return {
      content,
      ...(thinking !== '' && { thinking }),
      ...(calls.length > 0 && { tool_calls: calls }),
    };
  }
}
