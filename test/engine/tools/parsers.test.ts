import { describe, expect, test } from 'vitest';
import { HERMES } from '../../../engine/tools/hermes.js';
import { LLAMA3_JSON } from '../../../engine/tools/llama3-json.js';
import { MISTRAL_LIST } from '../../../engine/tools/mistral.js';
import type { ToolFormat } from '../../../engine/tools/tool-format.js';
import {
  describeToolFormat,
  readWhole,
  TOOLS,
  type ToolCase,
} from '../../conformance/tool-format.js';

const CASES: [ToolFormat, ToolCase[]][] = [
  [
    HERMES,
    [
      [
        'octavo-tiny',
        '<tool_call>\n{"name": "get_weather", "arguments": {"city": "Paris"}}\n</tool_call>',
        '',
        [['get_weather', '{"city": "Paris"}']],
      ],
      [
        'Qwen 2.5, two calls behind a text',
        'I will look both up.\n<tool_call>\n{"name": "get_weather", "arguments": {"city": "Paris"}}\n</tool_call>\n' +
          '<tool_call>\n{"name": "get_time", "arguments": {}}\n</tool_call>',
        'I will look both up.',
        [
          ['get_weather', '{"city": "Paris"}'],
          ['get_time', '{}'],
        ],
      ],
      [
        'text around calls',
        'One. <tool_call>{"name":"get_time","arguments":{}}</tool_call> Two.\n',
        'One. Two.',
        [['get_time', '{}']],
      ],
      [
        'nested braces, strings with brackets, quotes and tags',
        '<tool_call>\n{"name": "run-code", "arguments": {"code": "if (a) { b[\\"}\\"] = \'</tool_call>\\\\\' }", "x": [{"y": {}}, "]"]}}\n</tool_call>',
        '',
        [
          [
            'run-code',
            '{"code": "if (a) { b[\\"}\\"] = \'</tool_call>\\\\\' }", "x": [{"y": {}}, "]"]}',
          ],
        ],
      ],
      [
        'arguments before the name, a stranger key, escapes in the keys',
        '<tool_call>{"id": 12, "\\u0061rguments": {"a": 1}, "type": "function", "name": "get_time"}</tool_call>',
        '',
        [['get_time', '{"a": 1}']],
      ],
      [
        'arguments as a string',
        '<tool_call>{"name": "get_time", "arguments": "{\\"a\\": 1}"}</tool_call>',
        '',
        [['get_time', '{"a": 1}']],
      ],
      [
        'no arguments',
        '<tool_call>{"name": "get_time"}</tool_call><tool_call>{"name": "get_time", "arguments": null}</tool_call>',
        '',
        [
          ['get_time', '{}'],
          ['get_time', '{}'],
        ],
      ],
      [
        'parameters instead of arguments, arguments of the arguments',
        '<tool_call>{"name": "get_time", "parameters": {"name": "x", "arguments": {"name": 1}}, "arguments": {"no": 1}}</tool_call>',
        '',
        [['get_time', '{"name": "x", "arguments": {"name": 1}}']],
      ],
      [
        'a closing tag that is missing before the next call, and at the end',
        '<tool_call>\n{"name": "get_time", "arguments": {}}\n<tool_call>\n{"name": "get_weather", "arguments": {}}',
        '',
        [
          ['get_time', '{}'],
          ['get_weather', '{}'],
        ],
      ],
      [
        'a bracket too many',
        '<tool_call>\n{"name": "get_time", "arguments": {}}}\n</tool_call>',
        '',
        [['get_time', '{}']],
      ],
      [
        'brackets that do not match end with the closing tag',
        '<tool_call>\n{"name": "get_time", "arguments": {"a": [1, 2}\n</tool_call>Done.',
        'Done.',
        [['get_time', '{"a": [1, 2}\n']],
      ],
      [
        'cut off in the arguments',
        '<tool_call>\n{"name": "get_weather", "arguments": {"city": "Par',
        '',
        [['get_weather', '{"city": "Par']],
      ],
      [
        'cut off before the arguments',
        'Well. \n<tool_call>\n{"name": "get_weather", "argu',
        'Well. \n<tool_call>\n{"name": "get_weather", "argu',
        [],
      ],
      [
        'cut off in a tag',
        '<tool_call>{"name": "get_time", "arguments": {}}</tool_c',
        '',
        [['get_time', '{}']],
      ],
      ['a tag without an object', 'Write <tool_call> first.', 'Write <tool_call> first.', []],
      [
        'a name that is none',
        'x <tool_call>{"name": "get time", "arguments": {}}</tool_call>',
        'x <tool_call>{"name": "get time", "arguments": {}}</tool_call>',
        [],
      ],
      [
        'beginnings of a tag before the tag',
        '<tool<\n<<tool_call>{"name": "get_time", "arguments": {}}</</tool_call>',
        '<tool<\n<</</tool_call>',
        [['get_time', '{}']],
      ],
      [
        'two tags before a call',
        '<tool_call>\n<tool_call>\n{"name": "get_time", "arguments": {}}\n</tool_call>',
        '<tool_call>\n',
        [['get_time', '{}']],
      ],
      [
        'broken JSON before the arguments',
        '<tool_call>{name: "get_time"}</tool_call>',
        '<tool_call>{name: "get_time"}</tool_call>',
        [],
      ],
    ],
  ],
  [
    LLAMA3_JSON,
    [
      [
        'Llama 3.1',
        '{"name": "get_weather", "parameters": {"city": "Paris", "unit": {"a": "}"}}}',
        '',
        [['get_weather', '{"city": "Paris", "unit": {"a": "}"}}']],
      ],
      [
        'Llama 3.2, with the type',
        '{"type": "function", "name": "get_weather", "parameters": {"city": "Paris"}}',
        '',
        [['get_weather', '{"city": "Paris"}']],
      ],
      [
        'behind the tag, twice',
        '<|python_tag|>{"name": "get_time", "parameters": {}}; {"name": "get_weather", "parameters": {"city": "Rome"}}\n',
        '',
        [
          ['get_time', '{}'],
          ['get_weather', '{"city": "Rome"}'],
        ],
      ],
      [
        'behind text, with the tag',
        'Let me see.\n<|python_tag|>{"name": "get_time", "parameters": {}}',
        'Let me see.',
        [['get_time', '{}']],
      ],
      [
        'behind text, without the tag',
        'Use {"name": "get_time", "parameters": {}}',
        'Use {"name": "get_time", "parameters": {}}',
        [],
      ],
      [
        'an object that names no tool',
        '{"name": "get_nothing", "parameters": {}}',
        '{"name": "get_nothing", "parameters": {}}',
        [],
      ],
      [
        'text behind a call',
        '{"name": "get_time", "parameters": {}} is what I would call; really',
        ' is what I would call; really',
        [['get_time', '{}']],
      ],
      [
        'cut off',
        '\n{"name": "get_time", "parameters": {"a": "\\"',
        '',
        [['get_time', '{"a": "\\"']],
      ],
      ['a tag before Python', '<|python_tag|>print(1)', '<|python_tag|>print(1)', []],
    ],
  ],
  [
    MISTRAL_LIST,
    [
      [
        'Mistral 7B v0.3',
        '[TOOL_CALLS] [{"name": "get_weather", "arguments": {"city": "Paris, France", "format": "celsius"}}]',
        '',
        [['get_weather', '{"city": "Paris, France", "format": "celsius"}']],
      ],
      [
        'a list of two, with ids, behind text',
        'Both.[TOOL_CALLS][{"name": "get_time", "arguments": {"a": ["]"]}, "id": "abcdef123"}, {"name": "get_weather", "arguments": {}, "id": "abcdef124"}]',
        'Both.',
        [
          ['get_time', '{"a": ["]"]}'],
          ['get_weather', '{}'],
        ],
      ],
      [
        'Mistral Small 3.2, two calls',
        '[TOOL_CALLS]get_weather[ARGS]{"city": "}{"}[TOOL_CALLS]get_time[ARGS]{}',
        '',
        [
          ['get_weather', '{"city": "}{"}'],
          ['get_time', '{}'],
        ],
      ],
      [
        'with ids, and without the tag',
        '[TOOL_CALLS]get_time[CALL_ID]abcdef123[ARGS]{"a": 1}\n[TOOL_CALLS] get_time {}',
        '',
        [
          ['get_time', '{"a": 1}'],
          ['get_time', '{}'],
        ],
      ],
      [
        'no call behind the marker',
        'So: [TOOL_CALLS] are calls {of tools}.',
        'So: [TOOL_CALLS] are calls {of tools}.',
        [],
      ],
      ['an empty list', ' [TOOL_CALLS][]', ' [TOOL_CALLS][]', []],
      [
        'a list of something else',
        '[TOOL_CALLS][{"name": "x y"}, 5]',
        '[TOOL_CALLS][{"name": "x y"}, 5]',
        [],
      ],
      [
        'cut off in the list and in the arguments',
        '[TOOL_CALLS][{"name": "get_time", "arguments": {}}, {"name": "get_weather", "arguments": {"a',
        '',
        [
          ['get_time', '{}'],
          ['get_weather', '{"a'],
        ],
      ],
      ['cut off in the name', '[TOOL_CALLS]get_wea', '[TOOL_CALLS]get_wea', []],
      [
        'cut off between calls',
        '[TOOL_CALLS][{"name": "get_time", "arguments": {}}, ',
        '',
        [['get_time', '{}']],
      ],
    ],
  ],
];

for (const [format, cases] of CASES) describeToolFormat(format, cases);

describe.each(CASES)('$name, whose arguments are JSON', (format) => {
  test('arguments are passed on as they come', () => {
    const parser = format.createParser(TOOLS);
    const { language } = format;
    const { before } = language.call('get_weather');
    const first = parser.push(`${language.begin}${before}{"city": "Pa`);
    expect(first).toEqual([
      { kind: 'call', name: 'get_weather' },
      { kind: 'arguments', text: '{"city": "Pa' },
    ]);
    expect(parser.push('ris"')).toEqual([{ kind: 'arguments', text: 'ris"' }]);
  });

  test('reads what its own language writes', () => {
    const { language } = format;
    const { begin, end, separator } = language;
    const written = ['get_time', 'run-code'].map((name) => {
      const { before, after } = language.call(name);
      return `${before}{"a": "b"}${after}`;
    });
    expect(readWhole(format, `${begin}${written.join(separator)}${end}`)).toEqual({
      content: '',
      calls: [
        ['get_time', '{"a": "b"}'],
        ['run-code', '{"a": "b"}'],
      ],
    });
  });
});
