import { textWithout } from '../text/text-without.js';
import { ListBody } from './call-bodies.js';
import { newCallId } from './call-ids.js';
import { MarkedParser } from './marked-parser.js';
import { NamedItem } from './named-item.js';
import type { ToolFormat } from './tool-format.js';

const TOOL_CALL = '<|tool_call|>';

/** A list of objects behind a mark: `<|tool_call|>[{"name": ..., "arguments": {...}}, ...]`. */
function listFormat(name: string, close: string): ToolFormat {
  return {
    name,
    markers: close === '' ? [TOOL_CALL] : [TOOL_CALL, close],
    language: {
      textAlone: textWithout(TOOL_CALL),
      textBefore: textWithout(TOOL_CALL),
      begin: `${TOOL_CALL}[`,
      separator: ', ',
      end: ']',
      call: (called) => ({ before: `{"name": "${called}", "arguments": `, after: '}' }),
    },
    createParser: () =>
      new MarkedParser({
        open: TOOL_CALL,
        close,
        createBody: (events) => new ListBody(events),
      }),
    newCallId,
  };
}

/** Granite 3.2 and 3.3. (Granite 4 has Hermes' form.) */
export const GRANITE = listFormat('granite', '');

/** Phi-4-mini. */
export const PHI4_MINI_JSON = listFormat('phi4_mini_json', '<|/tool_call|>');

const PREFIX = '<|tools_prefix|>';
const SUFFIX = '<|tools_suffix|>';

/** Apertus: `<|tools_prefix|>[{"get_weather": {"city": "Paris"}}, ...]<|tools_suffix|>`. */
export const APERTUS: ToolFormat = {
  name: 'apertus',
  markers: [PREFIX, SUFFIX],
  language: {
    textAlone: textWithout(PREFIX),
    textBefore: textWithout(PREFIX),
    begin: `${PREFIX}[`,
    separator: ', ',
    end: ']',
    call: (name) => ({ before: `{"${name}": `, after: '}' }),
  },
  createParser: () =>
    new MarkedParser({
      open: PREFIX,
      close: SUFFIX,
      createBody: (events) => new ListBody(events, () => new NamedItem(events)),
    }),
  newCallId,
};
