import { textWithout } from '../text/text-without.js';
import { newCallId } from './call-ids.js';
import type { CallState } from './call-object.js';
import { JsonValueScanner } from './json-value-scanner.js';
import { type CallBody, MarkedParser } from './marked-parser.js';
import type { ToolEvents } from './tool-events.js';
import { FUNCTION_NAME, type ToolFormat } from './tool-format.js';

const CALLS = '<｜tool▁calls▁begin｜>';
const CALLS_END = '<｜tool▁calls▁end｜>';
const CALL = '<｜tool▁call▁begin｜>';
const CALL_END = '<｜tool▁call▁end｜>';
const SEPARATOR = '<｜tool▁sep｜>';

/** @param isFenced whether the arguments stand in a fenced block behind a type */
function deepSeekFormat(name: string, isFenced: boolean): ToolFormat {
  return {
    name,
    markers: [CALLS, CALLS_END, CALL, CALL_END, SEPARATOR],
    language: {
      textAlone: textWithout(CALLS),
      textBefore: textWithout(CALLS),
      begin: CALLS,
      separator: '',
      end: '',
      call: (called) => ({
        before: isFenced
          ? `${CALL}function${SEPARATOR}${called}\n\`\`\`json\n`
          : `${CALL}${called}${SEPARATOR}`,
        after: '',
      }),
    },
    createParser: () =>
      new MarkedParser({
        open: CALLS,
        close: CALLS_END,
        createBody: (events) => new DeepSeekCalls(events),
      }),
    newCallId,
  };
}

/** DeepSeek V3 and R1: `<｜tool▁call▁begin｜>function<｜tool▁sep｜>get_weather`, a fenced block. */
export const DEEPSEEK_V3 = deepSeekFormat('deepseek_v3', true);

/** DeepSeek V3.1: `...<｜tool▁call▁begin｜>get_weather<｜tool▁sep｜>{"city": "Paris"}`. */
export const DEEPSEEK_V31 = deepSeekFormat('deepseek_v31', false);

/** What stands before the arguments, in both forms. */
const HEAD = new RegExp(
  `^\\s*${CALL}\\s*(?:function${SEPARATOR})?([\\w-]+)(?:${SEPARATOR})?\\s*(?:\`\`\`json\\s*)?$`,
);
/** Longer ones are no head. */
const LONGEST_HEAD = 160;

class DeepSeekCalls implements CallBody {
  readonly #events: ToolEvents;
  #arguments: JsonValueScanner | null = null;
  /** Text since the last call, or since the marker. */
  #head = '';
  #begun = false;
  #open = false;

  constructor(events: ToolEvents) {
    this.#events = events;
  }

  get begun(): boolean {
    return this.#begun;
  }

  get raw(): string {
    return this.#head;
  }

  push(char: string): CallState {
    if (this.#arguments === null) return this.#pushHead(char);
    this.#events.arguments(char);
    if (this.#arguments.push(char) === 'last') this.end();
    return 'open';
  }

  end(): void {
    if (this.#open) this.#events.end();
    this.#open = false;
    this.#arguments = null;
    this.#head = '';
  }

  #pushHead(char: string): CallState {
    if (char === '{') {
      const name = HEAD.exec(this.#head)?.[1] ?? '';
      if (!FUNCTION_NAME.test(name)) return this.#giveUp();
      this.#events.call(name);
      this.#begun = true;
      this.#open = true;
      this.#arguments = new JsonValueScanner();
      return this.push(char);
    }
    const head = this.#head + char;
    // Between two calls stand the end of the one and perhaps a fence.
    if (this.#begun && head.endsWith(CALL_END)) this.#head = '';
    else if (this.#begun && head.endsWith(CALLS_END)) return 'done';
    else if (head.length > LONGEST_HEAD) return this.#giveUp();
    else this.#head = head;
    return 'open';
  }

  #giveUp(): CallState {
    if (this.#begun) this.#events.content(this.#head);
    return 'malformed';
  }
}
