import { MarkerScanner } from '../text/marker-scanner.js';
import { textWithout } from '../text/text-without.js';
import { newCallId } from './call-ids.js';
import { CallObject } from './call-object.js';
import { ToolEvents } from './tool-events.js';
import {
  FUNCTION_NAME,
  type ToolCallParser,
  type ToolEvent,
  type ToolFormat,
} from './tool-format.js';

const OPEN = '<tool_call>';
const CLOSE = '</tool_call>';

/**
 * The form of Hermes 2 Pro, Qwen 2.5, Qwen 3 and octavo-tiny. Calls follow one another, and text
 * may surround them:
 *
 *     <tool_call>
 *     {"name": "get_weather", "arguments": {"city": "Paris"}}
 *     </tool_call>
 */
export const HERMES: ToolFormat = {
  name: 'hermes',
  markers: [OPEN, CLOSE],
  language: {
    textAlone: textWithout(OPEN),
    textBefore: textWithout(OPEN),
    begin: '',
    separator: '\n',
    end: '',
    call: (name) => ({
      before: `${OPEN}\n{"name": "${name}", "arguments": `,
      after: `}\n${CLOSE}`,
    }),
  },
  createParser: () => new HermesParser(),
  newCallId,
};

class HermesParser implements ToolCallParser {
  readonly #events = new ToolEvents();
  readonly #open = new MarkerScanner(OPEN);
  readonly #close = new MarkerScanner(CLOSE);
  #state: 'text' | 'call' | 'closing' = 'text';
  #call = this.#newCall();
  /** Text before the call's object; it becomes content if the object is no call. */
  #lead = '';
  #calls = 0;

  push(piece: string): ToolEvent[] {
    for (const char of piece) this.#take(char);
    return this.#events.take();
  }

  flush(): ToolEvent[] {
    switch (this.#state) {
      case 'text': {
        const held = this.#open.flush();
        // White space after the last call is not content.
        if (this.#calls === 0 || held.trim() !== '') this.#events.content(held);
        break;
      }
      case 'call':
        if (this.#call.begun) this.#events.end();
        else this.#events.content(this.#lead + this.#call.raw);
        break;
      case 'closing':
        this.#close.flush();
        break;
    }
    return this.#events.take();
  }

  #take(char: string): void {
    switch (this.#state) {
      case 'text':
        return this.#takeText(char);
      case 'call':
        return this.#takeCall(char);
      case 'closing':
        return this.#takeClosing(char);
    }
  }

  #takeText(char: string): void {
    const text = this.#open.push(char);
    if (text !== null) return this.#events.content(text);
    this.#lead = this.#open.found;
    this.#call = this.#newCall();
    this.#state = 'call';
  }

  #takeCall(char: string): void {
    // JSON has this character only in strings: the model has closed a call whose brackets do not
    // match.
    const broken = char === '<' && this.#call.begun && !this.#call.inString;
    const state = broken ? 'malformed' : this.#call.push(char);
    if (state === 'open') return;
    if (this.#call.begun) {
      this.#events.end();
      this.#calls++;
      this.#state = 'closing';
    } else {
      this.#events.content(this.#lead + this.#call.raw);
      this.#state = 'text';
    }
    if (state === 'malformed') this.#take(char);
  }

  #takeClosing(char: string): void {
    // Small models often write one closing bracket too many.
    if (char === '}') return;
    const text = this.#close.push(char);
    if (text === '') return;
    this.#state = 'text';
    // The closing tag may be missing; then the text in its place is content, or the next call.
    if (text !== null) for (const missed of text + this.#close.flush()) this.#take(missed);
  }

  #newCall(): CallObject {
    return new CallObject(this.#events, (name) => FUNCTION_NAME.test(name));
  }
}
