import { DEEPSEEK_V3, DEEPSEEK_V31 } from '../../../engine/tools/deepseek.js';
import { APERTUS, GRANITE, PHI4_MINI_JSON } from '../../../engine/tools/list-formats.js';
import type { ToolFormat } from '../../../engine/tools/tool-format.js';
import { describeToolFormat, type ToolCase } from '../../conformance/tool-format.js';

// Formats that write several calls between two marks, with arguments in JSON.

const CALLS = '<｜tool▁calls▁begin｜>';
const CALL = '<｜tool▁call▁begin｜>';
const CALL_END = '<｜tool▁call▁end｜>';
const CALLS_END = '<｜tool▁calls▁end｜>';
const SEPARATOR = '<｜tool▁sep｜>';

const CASES: [ToolFormat, ToolCase[]][] = [
  [
    GRANITE,
    [
      [
        'Granite 3.3, two calls',
        '<|tool_call|>[{"name": "get_weather", "arguments": {"city": "Paris"}}, {"name": "get_time", "arguments": {}}]',
        '',
        [
          ['get_weather', '{"city": "Paris"}'],
          ['get_time', '{}'],
        ],
      ],
      [
        'one call without a list, text behind it',
        'So.\n<|tool_call|> {"name": "get_time", "arguments": {"a": "]"}} Done.',
        'So. Done.',
        [['get_time', '{"a": "]"}']],
      ],
      ['an empty list', '<|tool_call|>[]', '<|tool_call|>[]', []],
      [
        'text in the list',
        '<|tool_call|>[{"name": "get_time", "arguments": {}}, {"no": 1}]',
        '{"no": 1}]',
        [['get_time', '{}']],
      ],
      [
        'cut off in the second',
        '<|tool_call|>[{"name": "get_time", "arguments": {}}, {"na',
        '{"na',
        [['get_time', '{}']],
      ],
    ],
  ],
  [
    PHI4_MINI_JSON,
    [
      [
        'Phi-4-mini',
        '<|tool_call|>[{"name": "get_weather", "arguments": {"city": "Paris"}}]<|/tool_call|>',
        '',
        [['get_weather', '{"city": "Paris"}']],
      ],
    ],
  ],
  [
    APERTUS,
    [
      [
        'Apertus',
        '<|tools_prefix|>[{"get_weather": {"city": "Paris"}}, {"get_time": {}}]<|tools_suffix|>',
        '',
        [
          ['get_weather', '{"city": "Paris"}'],
          ['get_time', '{}'],
        ],
      ],
      [
        'cut off',
        '<|tools_prefix|>[{"get_weather": {"city": "Par',
        '',
        [['get_weather', '{"city": "Par']],
      ],
      [
        'no object behind the name',
        '<|tools_prefix|>[{"get_weather": 5}]',
        '<|tools_prefix|>[{"get_weather": 5}]',
        [],
      ],
    ],
  ],
  [
    DEEPSEEK_V31,
    [
      [
        'DeepSeek V3.1, two calls',
        `Both.${CALLS}${CALL}get_weather${SEPARATOR}{"city": "Paris"}${CALL_END}${CALL}get_time${SEPARATOR}{}${CALL_END}${CALLS_END}`,
        'Both.',
        [
          ['get_weather', '{"city": "Paris"}'],
          ['get_time', '{}'],
        ],
      ],
      [
        'cut off between calls',
        `${CALLS}${CALL}get_time${SEPARATOR}{"a": "}"}${CALL_END}`,
        '',
        [['get_time', '{"a": "}"}']],
      ],
    ],
  ],
  [
    DEEPSEEK_V3,
    [
      [
        'DeepSeek R1',
        `${CALLS}${CALL}function${SEPARATOR}get_weather\n\`\`\`json\n{"city": "Paris"}\n\`\`\`${CALL_END}\n${CALL}function${SEPARATOR}get_time\n\`\`\`json\n{}\n\`\`\`${CALL_END}${CALLS_END}`,
        '',
        [
          ['get_weather', '{"city": "Paris"}'],
          ['get_time', '{}'],
        ],
      ],
      ['no call behind the mark', `${CALLS}{"city"`, `${CALLS}{"city"`, []],
    ],
  ],
];

for (const [format, cases] of CASES) describeToolFormat(format, cases);
