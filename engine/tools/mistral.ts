import { MarkerScanner } from '../text/marker-scanner.js';
import { textWithout } from '../text/text-without.js';
import { newShortCallId } from './call-ids.js';
import { CallObject } from './call-object.js';
import { JsonValueScanner } from './json-value-scanner.js';
import { ToolEvents } from './tool-events.js';
import {
  FUNCTION_NAME,
  type ToolCallParser,
  type ToolEvent,
  type ToolFormat,
} from './tool-format.js';

const TOOL_CALLS = '[TOOL_CALLS]';
const ARGS = '[ARGS]';
const CALL_ID = '[CALL_ID]';

const TEXTS = { textAlone: textWithout(TOOL_CALLS), textBefore: textWithout(TOOL_CALLS) };

const MISTRAL = {
  markers: [TOOL_CALLS, ARGS, CALL_ID],
  createParser: (): ToolCallParser => new MistralParser(),
  newCallId: newShortCallId,
};

/**
 * Mistral's two forms. Both are read, whichever the template writes:
 *
 *     [TOOL_CALLS][{"name": "get_weather", "arguments": {"city": "Paris"}}, ...]
 *     [TOOL_CALLS]get_weather[ARGS]{"city": "Paris"}[TOOL_CALLS]...
 *
 * Models up to Mistral 7B v0.3 and Nemo write the first, those since Mistral Small 3.2 the second.
 * The newer one may have `[CALL_ID]` and an id between name and arguments, and may lack `[ARGS]`.
 */
export const MISTRAL_LIST: ToolFormat = {
  ...MISTRAL,
  name: 'mistral',
  language: {
    ...TEXTS,
    begin: `${TOOL_CALLS}[`,
    separator: ', ',
    end: ']',
    call: (name) => ({ before: `{"name": "${name}", "arguments": `, after: '}' }),
  },
};

/** The same for models whose template writes the newer form. */
export const MISTRAL_NAMED: ToolFormat = {
  ...MISTRAL,
  name: 'mistral',
  language: {
    ...TEXTS,
    begin: '',
    separator: '',
    end: '',
    call: (name) => ({ before: `${TOOL_CALLS}${name}${ARGS}`, after: '' }),
  },
};

class MistralParser implements ToolCallParser {
  readonly #events = new ToolEvents();
  readonly #marker = new MarkerScanner(TOOL_CALLS);
  #state: 'text' | 'marked' | 'list' | 'object' | 'arguments' = 'text';
  /** Text since the marker; it becomes content if no call follows. */
  #lead = '';
  /** Text after the marker, up to the arguments: the name and what follows it. */
  #head = '';
  #call = this.#newCall();
  #arguments = new JsonValueScanner();
  #calls = 0;

  push(piece: string): ToolEvent[] {
    for (const char of piece) this.#take(char);
    return this.#events.take();
  }

  flush(): ToolEvent[] {
    const begun = this.#state === 'arguments' || (this.#state === 'object' && this.#call.begun);
    const held = this.#marker.flush() + (this.#state === 'list' ? this.#lead : '');
    if (begun) this.#events.end();
    else if (this.#state === 'marked' || this.#state === 'object') this.#giveUp();
    // Commas and white space after the last call are not content.
    else if (this.#calls === 0 || !/^[\s,]*$/.test(held)) this.#events.content(held);
    return this.#events.take();
  }

  #take(char: string): void {
    switch (this.#state) {
      case 'text':
        return this.#takeText(char);
      case 'marked':
        return this.#takeHead(char);
      case 'list':
        return this.#takeList(char);
      case 'object':
        return this.#takeObject(char);
      case 'arguments':
        return this.#takeArguments(char);
    }
  }

  #takeText(char: string): void {
    const text = this.#marker.push(char);
    if (text !== null) return this.#events.content(text);
    this.#lead = this.#marker.found;
    this.#head = '';
    this.#state = 'marked';
  }

  #takeHead(char: string): void {
    if (char === '[' && this.#head.trim() === '') {
      this.#lead += this.#head + char;
      this.#state = 'list';
      return;
    }
    if (char !== '{') {
      this.#head += char;
      if (!isHead(this.#head)) this.#giveUp();
      return;
    }
    const name = HEAD.exec(this.#head)?.[1] ?? '';
    if (!FUNCTION_NAME.test(name)) {
      this.#giveUp();
      return this.#take(char);
    }
    this.#events.call(name);
    this.#arguments = new JsonValueScanner();
    this.#state = 'arguments';
    this.#takeArguments(char);
  }

  #takeArguments(char: string): void {
    this.#events.arguments(char);
    if (this.#arguments.push(char) === 'last') this.#endCall('text');
  }

  #takeList(char: string): void {
    if (char === '{') {
      this.#call = this.#newCall();
      this.#state = 'object';
      return this.#takeObject(char);
    }
    this.#lead += char;
    if (char === ']') {
      if (this.#calls === 0) this.#giveUp();
      this.#state = 'text';
    } else if (!/[\s,]/.test(char)) this.#giveUp();
  }

  #takeObject(char: string): void {
    const state = this.#call.push(char);
    if (state === 'open') return;
    if (this.#call.begun) this.#endCall('list');
    else this.#giveUp();
    if (state === 'malformed') this.#take(char);
  }

  #endCall(next: 'text' | 'list'): void {
    this.#events.end();
    this.#calls++;
    this.#lead = '';
    this.#state = next;
  }

  /** The text after the marker is no call: it becomes content. */
  #giveUp(): void {
    this.#events.content(this.#lead);
    if (this.#state === 'marked') this.#events.content(this.#head);
    if (this.#state === 'object') this.#events.content(this.#call.raw);
    this.#lead = '';
    this.#state = 'text';
  }

  #newCall(): CallObject {
    return new CallObject(this.#events, (name) => FUNCTION_NAME.test(name));
  }
}

/** Name, id and tag before the arguments. */
const HEAD = /^\s*([\w-]{1,64})\s*(?:\[CALL_ID\]\s*[\w-]{1,64}\s*)?(?:\[ARGS\]\s*)?$/;

/** Whether a text is, or can become, what precedes the arguments. */
function isHead(text: string): boolean {
  const [name = '', ...rest] = text.trim().split(/(?=\[)/);
  if (!/^[\w-]{0,64}$/.test(name.trim())) return false;
  return rest.every((part) => {
    const marker = [ARGS, CALL_ID].find((tag) => part.startsWith(tag) || tag.startsWith(part));
    if (marker === undefined) return false;
    const value = part.slice(marker.length).trim();
    return marker === ARGS ? value === '' : /^[\w-]{0,64}$/.test(value);
  });
}
