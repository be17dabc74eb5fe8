import { MarkerScanner } from '../text/marker-scanner.js';
import { newCallId } from './call-ids.js';
import { CallObject } from './call-object.js';
import { ToolEvents } from './tool-events.js';
import type { OfferedTool, ToolCallParser, ToolEvent, ToolFormat } from './tool-format.js';

const PYTHON_TAG = '<|python_tag|>';

/**
 * The JSON form of Llama 3.1 and later: the message is the call, bare or after a tag, and further
 * calls follow after a semicolon:
 *
 *     <|python_tag|>{"name": "get_weather", "parameters": {"city": "Paris"}}; {"name": ...}
 *
 * A bare call has no mark. So only an object at the beginning of the message, after the tag or
 * after another call counts as a call, and only if it names an offered tool.
 */
export const LLAMA3_JSON: ToolFormat = {
  name: 'llama3_json',
  markers: [PYTHON_TAG],
  language: {
    textAlone: '(?:[^\\s{][^]*)?',
    textBefore: '',
    begin: '',
    separator: '; ',
    end: '',
    call: (name) => ({ before: `{"name": "${name}", "parameters": `, after: '}' }),
  },
  createParser: (tools) => new Llama3JsonParser(tools),
  newCallId,
};

class Llama3JsonParser implements ToolCallParser {
  readonly #events = new ToolEvents();
  readonly #tag = new MarkerScanner(PYTHON_TAG);
  readonly #names: ReadonlySet<string>;
  #state: 'gap' | 'call' | 'text' = 'gap';
  #call = this.#newCall();
  /** Text between calls; it becomes content unless a call follows. */
  #gap = '';
  #calls = 0;

  constructor(tools: readonly OfferedTool[]) {
    this.#names = new Set(tools.map(({ name }) => name));
  }

  push(piece: string): ToolEvent[] {
    for (const char of piece) this.#take(char);
    return this.#events.take();
  }

  flush(): ToolEvent[] {
    if (this.#state === 'call') {
      if (this.#call.begun) this.#events.end();
      else this.#events.content(this.#gap + this.#call.raw);
    } else {
      const held = this.#gap + this.#tag.flush();
      if (this.#calls === 0 || held.trim() !== '') this.#events.content(held);
    }
    return this.#events.take();
  }

  #take(char: string): void {
    switch (this.#state) {
      case 'gap':
        return this.#takeGap(char);
      case 'call':
        return this.#takeCall(char);
      case 'text':
        return this.#takeText(char);
    }
  }

  #takeGap(char: string): void {
    if (char === '{') {
      this.#gap += this.#tag.flush();
      this.#call = this.#newCall();
      this.#state = 'call';
      return this.#takeCall(char);
    }
    if (/\s/.test(char) || (this.#calls > 0 && (char === ';' || char === ','))) {
      this.#gap += this.#tag.flush() + char;
      return;
    }
    this.#takeText(char);
  }

  #takeText(char: string): void {
    const text = this.#tag.push(char);
    if (text === '') return;
    if (text === null) {
      this.#gap += this.#tag.found;
      this.#state = 'gap';
      return;
    }
    this.#events.content(this.#gap + text);
    this.#gap = '';
    this.#state = 'text';
  }

  #takeCall(char: string): void {
    const state = this.#call.push(char);
    if (state === 'open') return;
    const { begun, raw } = this.#call;
    if (begun) this.#events.end();
    else this.#events.content(this.#gap + raw);
    if (begun) this.#calls++;
    this.#gap = '';
    this.#state = begun ? 'gap' : 'text';
    if (state === 'malformed') this.#take(char);
  }

  #newCall(): CallObject {
    return new CallObject(this.#events, (name) => this.#names.has(name));
  }
}
