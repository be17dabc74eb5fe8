import fc from 'fast-check';
import { expect, test } from 'vitest';
import { ChatTemplate } from '../../../engine/text/chat-template.js';
import { chooseFormat } from '../../../engine/tools/formats.js';
import { messageOf, parsePieces } from '../../support/tool-events.js';

// What a model's template writes of an earlier turn is what the model writes itself: so calls that
// a template has rendered must be read as the same calls.

const LOOP = '{% for c in messages[1].tool_calls %}{% set f = c.function %}';
const VALUE = '{{ v if v is string else v | tojson }}';

/** How templates of these families write calls; the format is recognized from them. */
const TEMPLATES: [string, string][] = [
  [
    'hermes',
    `${LOOP}\n<tool_call>\n{"name": "{{ f.name }}", "arguments": {{ f.arguments | tojson }}}\n</tool_call>{% endfor %}`,
  ],
  [
    'qwen3_coder',
    `${LOOP}\n<tool_call>\n<function={{ f.name }}>\n{% for k, v in f.arguments | items %}<parameter={{ k }}>\n${VALUE}\n</parameter>\n{% endfor %}</function>\n</tool_call>{% endfor %}`,
  ],
  [
    'glm45',
    `${LOOP}\n<tool_call>{{ f.name }}\n{% for k, v in f.arguments | items %}<arg_key>{{ k }}</arg_key>\n<arg_value>${VALUE}</arg_value>\n{% endfor %}</tool_call>{% endfor %}`,
  ],
  [
    'granite',
    `{# <|start_of_role|> #}<|tool_call|>[${LOOP}{"name": "{{ f.name }}", "arguments": {{ f.arguments | tojson }}}{% if not loop.last %}, {% endif %}{% endfor %}]`,
  ],
  [
    'phi4_mini_json',
    `{# <|tool|>...<|/tool|> #}<|tool_call|>[${LOOP}{"name": "{{ f.name }}", "arguments": {{ f.arguments | tojson }}}{% if not loop.last %}, {% endif %}{% endfor %}]<|/tool_call|>`,
  ],
  [
    'apertus',
    `<|tools_prefix|>[${LOOP}{"{{ f.name }}": {{ f.arguments | tojson }}}{% if not loop.last %}, {% endif %}{% endfor %}]<|tools_suffix|>`,
  ],
  [
    'deepseek_v31',
    `<｜tool▁calls▁begin｜>${LOOP}<｜tool▁call▁begin｜>{{ f.name }}<｜tool▁sep｜>{{ f.arguments | tojson }}<｜tool▁call▁end｜>{% endfor %}<｜tool▁calls▁end｜>`,
  ],
  [
    'deepseek_v3',
    `<｜tool▁calls▁begin｜>${LOOP}<｜tool▁call▁begin｜>function<｜tool▁sep｜>{{ f.name }}\n\`\`\`json\n{{ f.arguments | tojson }}\n\`\`\`<｜tool▁call▁end｜>{% if not loop.last %}\n{% endif %}{% endfor %}<｜tool▁calls▁end｜>`,
  ],
  [
    'lfm2',
    `<|tool_call_start|>[${LOOP}{{ f.name }}({% for k, v in f.arguments | items %}{{ k }}={{ v | tojson }}{% if not loop.last %}, {% endif %}{% endfor %}){% if not loop.last %}, {% endif %}{% endfor %}]<|tool_call_end|>`,
  ],
  [
    'olmo3',
    `<function_calls>${LOOP}\n{{ f.name }}({% for k, v in f.arguments | items %}{{ k }}={{ v | tojson }}{% if not loop.last %}, {% endif %}{% endfor %}){% endfor %}\n</function_calls>`,
  ],
];

const TOOLS = [
  {
    name: 'write_file',
    parameters: {
      type: 'object',
      properties: {
        path: { type: 'string' },
        text: { type: 'string' },
        lines: { type: 'array' },
        mode: { type: 'integer' },
        options: { type: 'object' },
      },
    },
    strict: false,
  },
];

const json = fc.jsonValue({ maxDepth: 2 });
const call = fc
  .record(
    {
      path: fc.string(),
      // Two tags would end the values of two formats, which have no way to write them.
      text: fc
        .array(fc.oneof(fc.string(), fc.constantFrom('\n', ' ', '"', '\\', '<', 'é', '🐙')))
        .map((parts) => parts.join('').replaceAll(/<\/?(?:parameter|arg_value)>/g, '')),
      lines: fc.array(json, { maxLength: 3 }),
      mode: fc.integer(),
      options: fc.dictionary(fc.string(), json, { maxKeys: 3 }),
    },
    { requiredKeys: [] },
  )
  .map((args) => ({ type: 'function', function: { name: 'write_file', arguments: args } }));

test.each(TEMPLATES)('%s', (name, source) => {
  const format = chooseFormat('auto', source);
  expect(format?.name).toBe(name);
  const template = new ChatTemplate(source, 'test', { bosToken: '', eosToken: '' });
  fc.assert(
    fc.property(fc.array(call, { minLength: 1, maxLength: 3 }), (calls) => {
      const text = template.render([
        { role: 'user', content: 'x' },
        { role: 'assistant', content: '', tool_calls: calls },
      ]);
      const parser = format?.createParser(TOOLS);
      if (!parser) throw new Error('no parser');
      const read = messageOf(parsePieces(parser, [text]));
      expect(read.content).toBe('');
      const expected = calls.map(({ function: f }): unknown => [
        f.name,
        JSON.parse(JSON.stringify(f.arguments)),
      ]);
      expect(read.calls.map(([called, args]): unknown => [called, JSON.parse(args)])).toEqual(
        expected,
      );
    }),
    { numRuns: 60 },
  );
});
