import { textWithout } from '../text/text-without.js';
import { BodyReader } from './body-reader.js';
import { newCallId } from './call-ids.js';
import type { CallState } from './call-object.js';
import { JsonValueScanner } from './json-value-scanner.js';
import { MarkedParser } from './marked-parser.js';
import { FUNCTION_NAME, type ToolFormat } from './tool-format.js';

export const CHANNEL = '<|channel|>';
export const MESSAGE = '<|message|>';
export const CONSTRAIN = '<|constrain|>';
const CALL = '<|call|>';

/**
 * gpt-oss (OpenAI's response format harmony): a message whose recipient is a function.
 *
 *     <|channel|>commentary to=functions.get_weather <|constrain|>json<|message|>{...}<|call|>
 */
export const HARMONY: ToolFormat = {
  name: 'openai',
  markers: [CHANNEL, MESSAGE, CONSTRAIN, CALL],
  language: {
    textAlone: textWithout(CHANNEL),
    textBefore: textWithout(CHANNEL),
    begin: '',
    separator: '',
    end: '',
    call: (name) => ({
      before: `${CHANNEL}commentary to=functions.${name} ${CONSTRAIN}json${MESSAGE}`,
      after: '',
    }),
  },
  createParser: () =>
    new MarkedParser({
      open: CHANNEL,
      close: CALL,
      createBody: (events) => new HarmonyCall(events),
    }),
  newCallId,
};

/** The function that a message's header addresses; null for a message to the user. */
export function recipientOf(header: string): string | null {
  const name = /\bto=functions\.([\w-]+)/.exec(header)?.[1] ?? '';
  return FUNCTION_NAME.test(name) ? name : null;
}

/** Longer ones are no header. */
const LONGEST_HEADER = 160;

/** One message behind its first marker: the rest of the header, and the arguments. */
class HarmonyCall extends BodyReader {
  readonly #arguments = new JsonValueScanner();

  protected advance(char: string): CallState {
    if (this.begun) return this.#argument(char);
    const name = char === '{' ? recipientOf(this.raw) : null;
    if (name !== null && this.raw.trimEnd().endsWith(MESSAGE)) {
      this.begin(name);
      return this.#argument(char);
    }
    return char === '{' || this.raw.length === LONGEST_HEADER ? 'malformed' : 'open';
  }

  #argument(char: string): CallState {
    this.events.arguments(char);
    if (this.#arguments.push(char) !== 'last') return 'open';
    this.end();
    return 'done';
  }
}
