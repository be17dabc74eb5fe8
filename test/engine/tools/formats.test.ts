import { describe, expect, test } from 'vitest';
import { MessageForms } from '../../../engine/generation/message-form.js';
import { ChatTemplate } from '../../../engine/text/chat-template.js';
import { loadServedModel } from '../../../engine/text/served-model.js';
import { chooseFormat } from '../../../engine/tools/formats.js';
import { byteModel } from '../../support/byte-model.js';
import {
  byteLevelTokenizer,
  fallbackTokenizer,
  writeModelDir,
} from '../../support/tiny-tokenizers.js';
import { toolModel, WEATHER } from '../../support/tool-model.js';

describe('the format that a chat template shows', () => {
  test.each([
    ['Qwen 2.5', `{{- '\\n<tool_call>\\n{"name": "' }}`, 'hermes'],
    ['Qwen 3 Coder', `{{- '<tool_call>\\n<function=' + name }}`, 'qwen3_coder'],
    ['GLM 4.5', `<tool_call>{{ name }}\\n<arg_key>`, 'glm45'],
    ['Granite 3.3', `<|start_of_role|>assistant<|tool_call|>`, 'granite'],
    ['Granite 4', `<|start_of_role|>{{ '<tool_call>' }}`, 'hermes'],
    ['Phi-4-mini', `<|tool|>{{ tools }}<|/tool|>`, 'phi4_mini_json'],
    ['Llama 4', `<|header_start|>{{ '<|python_start|>' }}`, 'pythonic'],
    ['LFM2', `<|tool_list_start|>{{ tools }}<|tool_list_end|>`, 'lfm2'],
    ['OLMo 3', `<function_calls>`, 'olmo3'],
    ['FunctionGemma', `<start_function_call>call:`, 'functiongemma'],
    ['Gemma 4', `<|tool_call>call:`, 'gemma4'],
    ['DeepSeek R1', `<｜tool▁calls▁begin｜>{{ '\`\`\`json' }}`, 'deepseek_v3'],
    ['DeepSeek V3.1', `<｜tool▁calls▁begin｜>`, 'deepseek_v31'],
    ['Apertus', `<|tools_prefix|>`, 'apertus'],
    ['gpt-oss', `<|channel|>commentary to=functions.{{ name }}`, 'openai'],
    ['Mistral 7B v0.3', `{{- "[TOOL_CALLS] [" }}`, 'mistral'],
    ['Mistral Small 3.2', `{{- "[TOOL_CALLS]" + name + "[ARGS]" }}`, 'mistral'],
    ['Llama 3.1', `<|start_header_id|>{{- '"parameters": ' }}<|python_tag|>`, 'llama3_json'],
    ['Llama 3 without tools', `<|start_header_id|>{{ role }}`, null],
    ['none', '', null],
  ])('%s', (_, template, name) => {
    expect(chooseFormat('auto', template)?.name ?? null).toBe(name);
  });

  test('a flag wins; Mistral has two forms', () => {
    expect(chooseFormat('hermes', '')?.name).toBe('hermes');
    expect(chooseFormat('none', '<tool_call>{"name"')).toBeNull();
    const before = (template: string): string | undefined =>
      chooseFormat('mistral', template)?.language.call('f').before;
    expect(before('')).toBe('{"name": "f", "arguments": ');
    expect(before('[ARGS]')).toBe('[TOOL_CALLS]f[ARGS]');
  });

  test('ids are of the form that the template accepts', () => {
    expect(chooseFormat('mistral', '')?.newCallId()).toMatch(/^[0-9a-f]{9}$/);
    expect(chooseFormat('hermes', '')?.newCallId()).toMatch(/^call_[0-9a-f]{32}$/);
  });

  test('the log says what was chosen', () => {
    const auto = { toolCallParser: 'auto', reasoningParser: 'auto' } as const;
    expect(new MessageForms(byteModel, auto).describe()).toBe(
      'tool calls are read as text (auto, by the chat template), reasoning as text (auto, by the chat template)',
    );
    const given = { toolCallParser: 'mistral', reasoningParser: 'think' } as const;
    expect(new MessageForms(byteModel, given).describe()).toBe(
      'tool calls are read as mistral, reasoning as think',
    );
  });
});

describe('chat templates and tools', () => {
  const template = (source: string): ChatTemplate =>
    new ChatTemplate(source, 'test', { bosToken: '', eosToken: '' });

  test('whether a template takes tools is seen from what it writes', () => {
    expect(toolModel.chatTemplate?.takesTools).toBe(true);
    expect(byteModel.chatTemplate?.takesTools).toBe(false);
    expect(template('{% if tools %}I have tools.{% endif %}').takesTools).toBe(false);
    expect(template('{% if tools %}{{ raise_exception("no") }}{% endif %}').takesTools).toBe(false);
    expect(template('{{ tools | tojson }}').takesTools).toBe(true);
  });

  test('so is whether it writes what the system says later', () => {
    const all = '{% for m in messages %}{{ m.role }}{{ m.content }}{% endfor %}';
    const first = "{% for m in messages %}{% if loop.first or m.role != 'system' %}{{ m.content }}";
    const strict = "{% for m in messages %}{% if not loop.first and m.role == 'system' %}";
    expect(template(all).takesLaterSystem).toBe(true);
    expect(template(`${first}{% endif %}{% endfor %}`).takesLaterSystem).toBe(false);
    expect(
      template(`${strict}{{ raise_exception("no") }}{% endif %}{{ m.content }}{% endfor %}`)
        .takesLaterSystem,
    ).toBe(false);
  });

  test('a template named tool_use is for requests with tools', async () => {
    const dir = await writeModelDir({
      'config.json': {},
      'tokenizer.json': byteLevelTokenizer(),
      'tokenizer_config.json': {
        chat_template: [
          { name: 'default', template: '{{ messages[0].content }}' },
          { name: 'tool_use', template: '<tool_call>{{ tools[0].function.name }}' },
        ],
      },
    });
    const { chatTemplate } = await loadServedModel(dir, []);
    const messages = [{ role: 'user', content: 'Hi' }];
    expect(chatTemplate?.render(messages)).toBe('Hi');
    expect(chatTemplate?.render(messages, { tools: [WEATHER] })).toBe('<tool_call>get_weather');
    expect(chatTemplate?.takesTools).toBe(true);
    expect(chooseFormat('auto', chatTemplate?.source ?? '')?.name).toBe('hermes');
  });
});

test.each([
  ['byte-level', byteLevelTokenizer()],
  ['others', fallbackTokenizer()],
])('detokenizers (%s) show the special tokens that a parser needs', async (_, tokenizerFile) => {
  const dir = await writeModelDir({
    'config.json': {},
    'tokenizer.json': tokenizerFile,
    'tokenizer_config.json': {},
  });
  const { tokenizer } = await loadServedModel(dir, []);
  const end = tokenizer.tokenId('<|end|>');
  const call = tokenizer.tokenId('<tool_call>');
  if (end === undefined || call === undefined) throw new Error('the tokenizer lacks its tokens');
  const textOf = (shown?: ReadonlySet<typeof end>): string => {
    const options = { skipSpecialTokens: true, ...(shown ? { shown } : {}) };
    const detokenizer = tokenizer.createDetokenizer(options);
    return [call, end].map((id) => detokenizer.push(id)).join('') + detokenizer.flush();
  };
  expect(textOf()).toBe('<tool_call>');
  expect(textOf(new Set([end]))).toBe('<tool_call><|end|>');
});
