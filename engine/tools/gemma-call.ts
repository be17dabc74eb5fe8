import { jsonOf } from './argument-writer.js';
import { BodyReader } from './body-reader.js';
import type { CallState } from './call-object.js';
import type { ToolEvents } from './tool-events.js';
import { FUNCTION_NAME } from './tool-format.js';

const HEAD = 'call:';

/**
 * A call in the form of FunctionGemma and Gemma 4, whose keys have no quotes and whose texts stand
 * between a mark of their own: `call:get_weather{city:<escape>Paris<escape>,days:[1,2]}`.
 */
export class GemmaCall extends BodyReader {
  /** Before and behind a text. */
  readonly #mark: string;
  #state: 'head' | 'name' | 'arguments' | 'text' = 'head';
  #word = '';
  /** What was read of the mark. */
  #marked = '';
  /** The brackets that are open, the last one last. */
  #brackets: string[] = [];
  #isKey = true;

  constructor(events: ToolEvents, mark: string) {
    super(events);
    this.#mark = mark;
  }

  protected advance(char: string): CallState {
    switch (this.#state) {
      case 'head':
        if (this.#word === '' && /\s/.test(char)) return 'open';
        this.#word += char;
        if (this.#word === HEAD) this.#enter('name');
        else if (!HEAD.startsWith(this.#word)) return 'malformed';
        return 'open';
      case 'name':
        return this.#name(char);
      case 'arguments':
        return this.#between(char);
      case 'text':
        this.#text(char);
        return 'open';
    }
  }

  #enter(state: 'name' | 'arguments'): void {
    this.#word = '';
    this.#state = state;
  }

  #name(char: string): CallState {
    if (char !== '{') {
      this.#word += char;
      return FUNCTION_NAME.test(this.#word) ? 'open' : 'malformed';
    }
    if (!FUNCTION_NAME.test(this.#word)) return 'malformed';
    this.begin(this.#word);
    this.#enter('arguments');
    return this.#between(char);
  }

  #between(char: string): CallState {
    const marked = this.#marked + char;
    if (this.#mark.startsWith(marked)) {
      this.#marked = marked === this.#mark ? '' : marked;
      if (marked !== this.#mark) return 'open';
      this.#endWord();
      this.events.arguments('"');
      this.#state = 'text';
      return 'open';
    }
    if (this.#marked !== '') return 'malformed';
    switch (char) {
      case '{':
      case '[':
        this.#endWord();
        this.#brackets.push(char);
        this.#isKey = char === '{';
        this.events.arguments(char);
        return 'open';
      case '}':
      case ']':
        return this.#closeBracket(char);
      case ':':
        if (!this.#isKey) break;
        this.events.arguments(`${JSON.stringify(this.#word.trim())}: `);
        this.#word = '';
        this.#isKey = false;
        return 'open';
      case ',':
        this.#endWord();
        this.events.arguments(', ');
        this.#isKey = this.#brackets.at(-1) === '{';
        return 'open';
    }
    this.#word += char;
    return 'open';
  }

  #closeBracket(char: string): CallState {
    if (this.#brackets.pop() !== (char === '}' ? '{' : '[')) return 'malformed';
    this.#endWord();
    this.events.arguments(char);
    this.#isKey = false;
    if (this.#brackets.length > 0) return 'open';
    this.end();
    return 'done';
  }

  #text(char: string): void {
    const marked = this.#marked + char;
    if (marked === this.#mark) {
      this.#marked = '';
      this.events.arguments('"');
      this.#state = 'arguments';
    } else if (this.#mark.startsWith(marked)) this.#marked = marked;
    else {
      // The mark's first character does not occur in it again.
      const restarts = char === this.#mark[0];
      this.#marked = restarts ? char : '';
      this.events.arguments(JSON.stringify(restarts ? marked.slice(0, -1) : marked).slice(1, -1));
    }
  }

  /** A number, a truth value, or whatever stands without marks. */
  #endWord(): void {
    const word = this.#word.trim();
    this.#word = '';
    if (word !== '') this.events.arguments(jsonOf(word));
  }
}
