import { MarkerScanner } from '../text/marker-scanner.js';
import { textWithout } from '../text/text-without.js';
import { newCallId } from './call-ids.js';
import { MarkedParser } from './marked-parser.js';
import { propertyParts } from './property-parts.js';
import { PythonCalls } from './python-calls.js';
import { ToolEvents } from './tool-events.js';
import type {
  CallLanguage,
  OfferedTool,
  ToolCallParser,
  ToolEvent,
  ToolFormat,
} from './tool-format.js';

const ARGUMENTS: Pick<CallLanguage, 'call' | 'arguments'> = {
  call: (name) => ({ before: `${name}(`, after: ')' }),
  arguments: (parameters, lark) =>
    propertyParts(parameters, lark, {
      separator: ', ',
      around: (name) => [`${name}=`, ''],
      text: null,
      booleans: ['True', 'False'],
    }),
};

const PYTHON_START = '<|python_start|>';
const PYTHON_END = '<|python_end|>';

/**
 * Llama 4, and the small Llama 3.2: the message is a list of calls, `[get_weather(city='Paris')]`,
 * in Llama 4's case also between marks. A list counts as calls only at the beginning of the message
 * or behind the mark, and only if its first name is that of an offered tool.
 */
export const PYTHONIC: ToolFormat = {
  name: 'pythonic',
  markers: [PYTHON_START, PYTHON_END],
  language: {
    textAlone: '(?:[^\\s\\[][^]*)?',
    textBefore: '',
    begin: '[',
    separator: ', ',
    end: ']',
    ...ARGUMENTS,
  },
  createParser: (tools) => new PythonicParser(tools),
  newCallId,
};

/** Calls in Python between two marks. */
function markedPython(name: string, open: string, close: string, isList: boolean): ToolFormat {
  const bracket = isList ? ['[', ']'] : ['\n', '\n'];
  return {
    name,
    markers: [open, close],
    language: {
      textAlone: textWithout(open),
      textBefore: textWithout(open),
      begin: `${open}${bracket[0]}`,
      separator: isList ? ', ' : '\n',
      end: bracket[1],
      ...ARGUMENTS,
    },
    createParser: (tools) =>
      new MarkedParser({
        open,
        close,
        createBody: (events) => new PythonCalls(events, { isList, onlyOffered: false }, tools),
      }),
    newCallId,
  };
}

/** LFM2: `<|tool_call_start|>[get_weather(city="Paris")]<|tool_call_end|>`. */
export const LFM2 = markedPython('lfm2', '<|tool_call_start|>', '<|tool_call_end|>', true);

/** OLMo 3: a call on each line between `<function_calls>` and `</function_calls>`. */
export const OLMO3 = markedPython('olmo3', '<function_calls>', '</function_calls>', false);

class PythonicParser implements ToolCallParser {
  readonly #events = new ToolEvents();
  readonly #start = new MarkerScanner(PYTHON_START);
  readonly #end = new MarkerScanner(PYTHON_END);
  readonly #tools: readonly OfferedTool[];
  #state: 'gap' | 'calls' | 'behind' | 'text' = 'gap';
  #calls: PythonCalls;
  /** Text before the list; it becomes content unless calls follow. */
  #gap = '';

  constructor(tools: readonly OfferedTool[]) {
    this.#tools = tools;
    this.#calls = this.#newCalls();
  }

  push(piece: string): ToolEvent[] {
    for (const char of piece) this.#take(char);
    return this.#events.take();
  }

  flush(): ToolEvent[] {
    if (this.#state === 'calls' && this.#calls.begun) this.#calls.end();
    else if (this.#state === 'behind') {
      const held = this.#end.flush();
      if (held.trim() !== '') this.#events.content(held);
    } else {
      const read = this.#state === 'calls' ? this.#calls.raw : this.#start.flush();
      this.#events.content(this.#gap + read);
    }
    return this.#events.take();
  }

  #take(char: string): void {
    switch (this.#state) {
      case 'gap':
        if (char === '[') {
          this.#gap += this.#start.flush();
          this.#calls = this.#newCalls();
          this.#state = 'calls';
          return this.#takeCalls(char);
        }
        return this.#takeText(char);
      case 'calls':
        return this.#takeCalls(char);
      case 'behind': {
        const text = this.#end.push(char);
        if (text === null || text === '') return;
        this.#state = 'text';
        return this.#events.content(text + this.#end.flush());
      }
      case 'text':
        return this.#takeText(char);
    }
  }

  #takeText(char: string): void {
    const text = this.#start.push(char);
    if (text === '') return;
    if (text === null) {
      this.#gap += this.#start.found;
      this.#state = 'gap';
      return;
    }
    this.#events.content(this.#gap + text);
    this.#gap = '';
    this.#state = 'text';
  }

  #takeCalls(char: string): void {
    const state = this.#calls.push(char);
    if (state === 'open') return;
    const { begun, raw } = this.#calls;
    if (!begun) this.#events.content(this.#gap + raw);
    this.#gap = '';
    this.#state = begun ? 'behind' : 'text';
    if (state === 'malformed') this.#take(char);
  }

  #newCalls(): PythonCalls {
    return new PythonCalls(this.#events, { isList: true, onlyOffered: true }, this.#tools);
  }
}
