import { textWithout } from '../text/text-without.js';
import { ObjectBody } from './call-bodies.js';
import { newCallId } from './call-ids.js';
import { MarkedParser } from './marked-parser.js';
import type { ToolFormat } from './tool-format.js';

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
  createParser: () =>
    new MarkedParser({
      open: OPEN,
      close: CLOSE,
      // Small models often write one closing bracket too many.
      beforeClose: '}',
      createBody: (events) => new ObjectBody(events),
    }),
  newCallId,
};
