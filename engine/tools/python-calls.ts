import { ArgumentWriter, propertiesOf } from './argument-writer.js';
import { BodyReader } from './body-reader.js';
import type { CallState } from './call-object.js';
import { PythonValue } from './python-value.js';
import type { ToolEvents } from './tool-events.js';
import { FUNCTION_NAME, type OfferedTool } from './tool-format.js';

export interface PythonForm {
  /** Whether the calls stand in a list; otherwise each stands on a line. */
  readonly isList: boolean;
  /** Whether only offered functions are calls: where no marker tells them from text. */
  readonly onlyOffered: boolean;
}

type Expected = 'list' | 'name' | 'argument' | 'equals' | 'value' | 'after value' | 'after call';

/**
 * Calls as Python writes them: `[get_weather(city='Paris', days=[1, 2]), get_time()]`. Arguments
 * without a name are those of the function's schema, in its order.
 */
export class PythonCalls extends BodyReader {
  readonly #tools: readonly OfferedTool[];
  readonly #form: PythonForm;
  #expected: Expected;
  #word = '';
  #writer: ArgumentWriter;
  #value: PythonValue | null = null;
  /** Names of the arguments that have none in the call, the next first. */
  #names: string[] = [];

  constructor(events: ToolEvents, form: PythonForm, tools: readonly OfferedTool[]) {
    super(events);
    this.#form = form;
    this.#tools = tools;
    this.#writer = new ArgumentWriter(events);
    this.#expected = form.isList ? 'list' : 'name';
  }

  protected advance(char: string): CallState {
    const isSpace = /\s/.test(char);
    switch (this.#expected) {
      case 'list':
        return isSpace ? 'open' : this.#step(char === '[', 'name');
      case 'name':
        return this.#name(char, isSpace);
      case 'argument':
        return this.#argument(char, isSpace);
      case 'equals':
        if (isSpace) return 'open';
        if (char !== '=') return this.#positional(char);
        this.#beginValue(this.#word);
        return 'open';
      case 'value':
        return this.#readValue(char);
      case 'after value':
        if (isSpace) return 'open';
        return char === ')' ? this.#close() : this.#step(char === ',', 'argument');
      case 'after call':
        return this.#afterCall(char, isSpace);
    }
  }

  #step(fits: boolean, next: Expected): CallState {
    if (!fits) return 'malformed';
    this.#expected = next;
    return 'open';
  }

  #name(char: string, isSpace: boolean): CallState {
    if (isSpace && this.#word === '') return 'open';
    if (/[\w-]/.test(char)) {
      this.#word += char;
      return 'open';
    }
    const tool = this.#tools.find(({ name }) => name === this.#word);
    const isName = this.#form.onlyOffered ? tool !== undefined : FUNCTION_NAME.test(this.#word);
    if (char !== '(' || !isName) return 'malformed';
    this.begin(this.#word);
    this.#names = propertiesOf(tool?.parameters ?? {}).map(([name]) => name);
    this.#writer = new ArgumentWriter(this.events);
    this.#word = '';
    this.#expected = 'argument';
    return 'open';
  }

  #argument(char: string, isSpace: boolean): CallState {
    if (this.#word === '') {
      if (isSpace) return 'open';
      if (char === ')') return this.#close();
      if (!/[A-Za-z_]/.test(char)) return this.#positional(char);
    } else if (!/\w/.test(char)) {
      this.#expected = 'equals';
      return this.advance(char);
    }
    this.#word += char;
    return 'open';
  }

  /** What was read was no name, but the value of the next argument. */
  #positional(char: string): CallState {
    const name = this.#names[0];
    if (name === undefined) return 'malformed';
    const word = this.#word;
    this.#beginValue(name);
    for (const read of word) this.#readValue(read);
    return this.#readValue(char);
  }

  #beginValue(name: string): void {
    this.#names = this.#names.filter((other) => other !== name);
    this.#writer.key(name);
    this.#value = new PythonValue((json) => this.#writer.json(json));
    this.#word = '';
    this.#expected = 'value';
  }

  #readValue(char: string): CallState {
    const place = this.#value?.push(char) ?? 'malformed';
    if (place === 'malformed') return 'malformed';
    if (place !== 'inside') this.#expected = 'after value';
    return place === 'behind' ? this.advance(char) : 'open';
  }

  #close(): CallState {
    this.#writer.close();
    this.end();
    this.#expected = 'after call';
    return 'open';
  }

  #afterCall(char: string, isSpace: boolean): CallState {
    if (this.#form.isList) {
      if (isSpace) return 'open';
      return char === ']' ? 'done' : this.#step(char === ',', 'name');
    }
    if (isSpace) return 'open';
    if (!/\w/.test(char)) return 'malformed';
    this.#expected = 'name';
    return this.advance(char);
  }

  /** What was read of a name behind calls is text. */
  protected override giveUp(): void {
    this.end();
    if (this.#expected === 'name') this.events.content(this.#word);
    this.#word = '';
  }
}
