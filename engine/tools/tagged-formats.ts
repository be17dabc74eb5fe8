import { textWithout } from '../text/text-without.js';
import { newCallId } from './call-ids.js';
import { MarkedParser } from './marked-parser.js';
import { propertyParts } from './property-parts.js';
import { type CallTags, TaggedCall } from './tagged-call.js';
import type { ToolFormat } from './tool-format.js';

const OPEN = '<tool_call>';
const CLOSE = '</tool_call>';

const QWEN_TAGS: CallTags = {
  name: ['<function=', '>'],
  key: ['<parameter=', '>'],
  value: ['', '</parameter>'],
  ends: ['</function>'],
  hasLines: true,
};

const TAGGED = {
  markers: [OPEN, CLOSE],
  newCallId,
} as const;

const TEXTS = { textAlone: textWithout(OPEN), textBefore: textWithout(OPEN) };

/**
 * The form of Qwen3-Coder and Qwen 3.5:
 *
 *     <tool_call>
 *     <function=get_weather>
 *     <parameter=city>
 *     Paris
 *     </parameter>
 *     </function>
 *     </tool_call>
 */
export const QWEN3_CODER: ToolFormat = {
  ...TAGGED,
  name: 'qwen3_coder',
  language: {
    ...TEXTS,
    begin: '',
    separator: '\n',
    end: '',
    call: (name) => ({
      before: `${OPEN}\n<function=${name}>\n`,
      after: `</function>\n${CLOSE}`,
    }),
    arguments: (parameters, lark) =>
      propertyParts(parameters, lark, {
        separator: '',
        around: (name) => [`<parameter=${name}>\n`, '\n</parameter>\n'],
        text: [{ kind: 'regex', source: textWithout('</parameter>') }],
        booleans: ['true', 'false'],
      }),
  },
  createParser: (tools) =>
    new MarkedParser({
      open: OPEN,
      close: CLOSE,
      createBody: (events) => new TaggedCall(events, QWEN_TAGS, tools),
    }),
};

const GLM_TAGS: CallTags = {
  name: ['', '\n'],
  key: ['<arg_key>', '</arg_key>'],
  value: ['<arg_value>', '</arg_value>'],
  ends: [CLOSE],
  hasLines: false,
};

/**
 * The form of GLM 4.5 and later:
 *
 *     <tool_call>get_weather
 *     <arg_key>city</arg_key>
 *     <arg_value>Paris</arg_value>
 *     </tool_call>
 */
export const GLM45: ToolFormat = {
  ...TAGGED,
  name: 'glm45',
  language: {
    ...TEXTS,
    begin: '',
    separator: '\n',
    end: '',
    call: (name) => ({ before: `${OPEN}${name}\n`, after: CLOSE }),
    arguments: (parameters, lark) =>
      propertyParts(parameters, lark, {
        separator: '',
        around: (name) => [`<arg_key>${name}</arg_key>\n<arg_value>`, '</arg_value>\n'],
        text: [{ kind: 'regex', source: textWithout('</arg_value>') }],
        booleans: ['true', 'false'],
      }),
  },
  createParser: (tools) =>
    new MarkedParser({
      open: OPEN,
      close: '',
      createBody: (events) => new TaggedCall(events, GLM_TAGS, tools),
    }),
};
