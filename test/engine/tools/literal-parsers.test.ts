import { FUNCTIONGEMMA, GEMMA4 } from '../../../engine/tools/gemma-formats.js';
import { LFM2, OLMO3, PYTHONIC } from '../../../engine/tools/python-formats.js';
import { GLM45, QWEN3_CODER } from '../../../engine/tools/tagged-formats.js';
import type { ToolFormat } from '../../../engine/tools/tool-format.js';
import { describeToolFormat, type ToolCase } from '../../conformance/tool-format.js';

// Formats whose arguments are no JSON.

const CASES: [ToolFormat, ToolCase[]][] = [
  [
    QWEN3_CODER,
    [
      [
        'Qwen3-Coder, two calls behind a text',
        'Both.\n<tool_call>\n<function=get_weather>\n<parameter=city>\nParis\n</parameter>\n<parameter=days>\n3\n</parameter>\n</function>\n</tool_call>\n<tool_call>\n<function=get_time>\n</function>\n</tool_call>',
        'Both.',
        [
          ['get_weather', '{"city": "Paris", "days": 3}'],
          ['get_time', '{}'],
        ],
      ],
      [
        'a text keeps its lines, its quotes and what looks like a tag',
        '<tool_call>\n<function=run-code>\n<parameter=code>\n\tif (a < b) {\n  say("\\n");\n}\n\n</param>\n</parameter>\n</function>\n</tool_call>',
        '',
        [['run-code', '{"code": "\\tif (a < b) {\\n  say(\\"\\\\n\\");\\n}\\n\\n</param>"}']],
      ],
      [
        'a text of digits is a text, an object is one, and what is none is a text',
        '<tool_call>\n<function=get_weather>\n<parameter=city>\n75001\n</parameter>\n<parameter=days>\nmany\n</parameter>\n<parameter=new>\n{"a": [true]}\n</parameter>\n</function>\n</tool_call>',
        '',
        [['get_weather', '{"city": "75001", "days": "many", "new": {"a": [true]}}']],
      ],
      [
        'values on the line of their tags, a word of Python, an empty text',
        '<tool_call><function=get_weather><parameter=city></parameter><parameter=days>None</parameter></function></tool_call>Done.',
        'Done.',
        [['get_weather', '{"city": "", "days": null}']],
      ],
      [
        'cut off in a text',
        '<tool_call>\n<function=get_weather>\n<parameter=city>\nPar',
        '',
        [['get_weather', '{"city": "Par']],
      ],
      [
        'cut off in the name',
        '<tool_call>\n<function=get_wea',
        '<tool_call>\n<function=get_wea',
        [],
      ],
      [
        'text where a parameter should be',
        '<tool_call>\n<function=get_time>\nNow.',
        'Now.',
        [['get_time', '{}']],
      ],
      [
        'an object is no call here',
        '<tool_call>\n{"name": "get_time"}',
        '<tool_call>\n{"name": "get_time"}',
        [],
      ],
    ],
  ],
  [
    GLM45,
    [
      [
        'GLM 4.5',
        '<tool_call>get_weather\n<arg_key>city</arg_key>\n<arg_value>Paris</arg_value>\n<arg_key>days</arg_key>\n<arg_value>3</arg_value>\n</tool_call>',
        '',
        [['get_weather', '{"city": "Paris", "days": 3}']],
      ],
      [
        'without arguments, without lines, twice',
        'So: <tool_call>get_time</tool_call><tool_call>get_weather<arg_key>city</arg_key><arg_value> "a"\n</arg_value></tool_call>.',
        'So:.',
        [
          ['get_time', '{}'],
          ['get_weather', '{"city": " \\"a\\"\\n"}'],
        ],
      ],
      [
        'a name that is none',
        '<tool_call>get time</tool_call>',
        '<tool_call>get time</tool_call>',
        [],
      ],
    ],
  ],
  [
    PYTHONIC,
    [
      [
        'Llama 3.2 and 4',
        "[get_weather(city='Paris', days=3), get_time(zone={'a': [True, None, 1.5], \"b\": ('x', 'y',)})]",
        '',
        [
          ['get_weather', '{"city": "Paris", "days": 3}'],
          ['get_time', '{"zone": {"a": [true, null, 1.5], "b": ["x", "y"]}}'],
        ],
      ],
      [
        'between marks, behind a text',
        'Let me see.\n<|python_start|>[get_time()]<|python_end|>',
        'Let me see.',
        [['get_time', '{}']],
      ],
      [
        'escapes of Python, and arguments without names',
        '[get_weather("it\\\'s \\"\\u00e9\\x41\\" \\d \\n", -1_000), run-code(code=\'\')]',
        '',
        [
          ['get_weather', '{"city": "it\'s \\"éA\\" \\\\d \\n", "days": -1000}'],
          ['run-code', '{"code": ""}'],
        ],
      ],
      ['behind a text, without a mark', 'Use [get_time()]', 'Use [get_time()]', []],
      ['a list that calls nothing', '["get_time()"]', '["get_time()"]', []],
      ['cut off', "[get_weather(city='Par", '', [['get_weather', '{"city": "Par']]],
      ['text behind', '[get_time()] is it', ' is it', [['get_time', '{}']]],
    ],
  ],
  [
    LFM2,
    [
      [
        'LFM2',
        '<|tool_call_start|>[get_weather(city="Paris", days=2)]<|tool_call_end|>Checking the weather.',
        'Checking the weather.',
        [['get_weather', '{"city": "Paris", "days": 2}']],
      ],
      ['no list behind the mark', 'x<|tool_call_start|>print', 'x<|tool_call_start|>print', []],
      [
        'text in the list',
        '<|tool_call_start|>[get_time(), and so on',
        'and so on',
        [['get_time', '{}']],
      ],
    ],
  ],
  [
    OLMO3,
    [
      [
        'OLMo 3',
        'Both:\n<function_calls>\nget_weather(city="Paris")\nget_time()\n</function_calls>',
        'Both:',
        [
          ['get_weather', '{"city": "Paris"}'],
          ['get_time', '{}'],
        ],
      ],
      [
        'on one line, and cut off',
        '<function_calls>get_time()get_weather(days=',
        '',
        [
          ['get_time', '{}'],
          ['get_weather', '{"days": '],
        ],
      ],
    ],
  ],
  [
    FUNCTIONGEMMA,
    [
      [
        'FunctionGemma, two calls',
        '<start_function_call>call:get_weather{city:<escape>Paris, "{France}"<escape>,days:3}<end_function_call><start_function_call>call:get_time{}<end_function_call>',
        '',
        [
          ['get_weather', '{"city": "Paris, \\"{France}\\"", "days": 3}'],
          ['get_time', '{}'],
        ],
      ],
      [
        'objects, lists, and words without marks',
        '<start_function_call>call:get_time{zone:{a:[1,<escape>x<e<escape>],b:true},c:noon}<end_function_call>',
        '',
        [['get_time', '{"zone": {"a": [1, "x<e"], "b": true}, "c": "noon"}']],
      ],
      [
        'cut off',
        '<start_function_call>call:get_weather{city:<escape>Par',
        '',
        [['get_weather', '{"city": "Par']],
      ],
      [
        'another word behind the mark',
        '<start_function_call>cell',
        '<start_function_call>cell',
        [],
      ],
    ],
  ],
  [
    GEMMA4,
    [
      [
        'Gemma 4',
        'Hm.<|tool_call>call:get_weather{city:<|"|>Paris<|"|>,days:2}<tool_call|>',
        'Hm.',
        [['get_weather', '{"city": "Paris", "days": 2}']],
      ],
    ],
  ],
];

for (const [format, cases] of CASES) describeToolFormat(format, cases);
