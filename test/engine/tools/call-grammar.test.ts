import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { MessageForms } from '../../../engine/generation/message-form.js';
import { checkGrammar } from '../../../engine/grammar/check-grammar.js';
import type { GrammarSpec } from '../../../engine/protocol/request.js';
import type { ServedModel } from '../../../engine/text/served-model.js';
import { textWithout } from '../../../engine/text/text-without.js';
import { chooseFormat, type ToolCallParserName } from '../../../engine/tools/formats.js';
import { planTools } from '../../../engine/tools/tool-plan.js';
import { byteModel } from '../../support/byte-model.js';
import { languageOf } from '../../support/grammar-language.js';
import { messageOf, parsePieces } from '../../support/tool-events.js';
import { TIME, toolModel, WEATHER } from '../../support/tool-model.js';

/** The byte model with special tokens. */
function withSpecialTokens(...tokens: string[]): ServedModel {
  const { tokenizer } = byteModel;
  return {
    ...toolModel,
    tokenizer: {
      encode: (text, options) => tokenizer.encode(text, options),
      createDetokenizer: (options) => tokenizer.createDetokenizer(options),
      bytesOf: (id) => tokenizer.bytesOf(id),
      addedTokens: new Map(),
      vocabSize: 300 + tokens.length,
      longestToken: Number.POSITIVE_INFINITY,
      entryOf: () => '',
      tokenId: (token) => {
        const index = tokens.indexOf(token);
        return index < 0 ? undefined : ((300 + index) as ReturnType<typeof tokenizer.tokenId>);
      },
      decode: (ids, options) =>
        tokenizer.decode(
          ids.filter((id) => id < 256),
          options,
        ),
    },
  };
}

interface Planned {
  readonly prompt: string;
  readonly isFree: boolean;
  readonly takes: (text: string) => Promise<boolean>;
  readonly parse: (text: string) => ReturnType<typeof messageOf>;
}

function plan(
  body: object,
  options: {
    readonly parser?: ToolCallParserName;
    readonly model?: ServedModel;
    readonly think?: boolean;
    readonly rendered?: string;
    readonly answer?: GrammarSpec;
    readonly compact?: boolean;
  } = {},
): Planned {
  const model = options.model ?? toolModel;
  const forms = new MessageForms(model, {
    toolCallParser: options.parser ?? 'hermes',
    reasoningParser: options.think === true ? 'think' : 'none',
  });
  const tools = planTools(
    { tools: [WEATHER, TIME], ...body },
    model.chatTemplate,
    forms.tools,
    options.compact,
  );
  const { prompt, grammar, message, checks } = forms.plan(
    { text: options.rendered ?? 'P', client: [] },
    tools,
    options.answer ? { spec: options.answer, field: 'answer' } : null,
  );
  for (const check of checks) checkGrammar(check, () => undefined);
  const language = grammar && languageOf(grammar);
  return {
    prompt: prompt.text,
    isFree: grammar === null,
    takes: async (text) => (await language)?.(text) ?? true,
    parse: (text) => {
      const parser = message?.createParsers().tools;
      if (!parser) throw new Error('the text is not read');
      return messageOf(parsePieces(parser, [text]));
    },
  };
}

const named = { tool_choice: { type: 'function', function: { name: 'get_weather' } } };
const required = { tool_choice: 'required' };
const strict = { tools: [{ ...WEATHER, function: { ...WEATHER.function, strict: true } }, TIME] };

const PARIS = '{"city":"Paris"}';
const HERMES_CALL = `<tool_call>\n{"name": "get_weather", "arguments": ${PARIS}}\n</tool_call>`;
const HERMES_TIME = '<tool_call>\n{"name": "get_time", "arguments": {}}\n</tool_call>';
const LLAMA_CALL = `{"name": "get_weather", "parameters": ${PARIS}}`;

describe('a forced choice', () => {
  test('auto has no grammar, none is not read', async () => {
    expect(plan({}).isFree).toBe(true);
    expect(() => plan({ tool_choice: 'none' }).parse('')).toThrow(/not read/);
  });

  test('required: one call or more, of any tool', async () => {
    const { takes, prompt } = plan(required);
    expect(prompt).toBe('P');
    const texts = ['', 'Well.', HERMES_CALL, HERMES_TIME, `${HERMES_TIME}\n${HERMES_CALL}`];
    expect(await Promise.all(texts.map(takes))).toEqual([false, false, true, true, true]);
  });

  test('named: exactly this one', async () => {
    const { takes } = plan(named);
    const texts = [HERMES_CALL, HERMES_TIME, `${HERMES_CALL}\n${HERMES_CALL}`];
    expect(await Promise.all(texts.map(takes))).toEqual([true, false, false]);
  });

  test('parallel_tool_calls: false: one of any', async () => {
    const { takes } = plan({ ...required, parallel_tool_calls: false });
    const texts = [HERMES_CALL, HERMES_TIME, `${HERMES_CALL}\n${HERMES_CALL}`];
    expect(await Promise.all(texts.map(takes))).toEqual([true, true, false]);
  });

  test('follows the schema of each tool', async () => {
    const { takes } = plan(required);
    expect(await takes(HERMES_CALL.replace('get_weather', 'get_time'))).toBe(false);
    expect(await takes(HERMES_CALL.replace('city', 'town'))).toBe(false);
  });

  test('compact: arguments have no white space', async () => {
    const { takes } = plan(required, { compact: true });
    const spaced = HERMES_CALL.replace(PARIS, '{"city": "Paris"}');
    expect(await Promise.all([HERMES_CALL, spaced].map(takes))).toEqual([true, false]);
    expect(await plan(required).takes(spaced)).toBe(true);
  });

  test("in Llama's form", async () => {
    const { takes } = plan(required, { parser: 'llama3_json' });
    const texts = [LLAMA_CALL, `${LLAMA_CALL}; ${LLAMA_CALL}`, PARIS];
    expect(await Promise.all(texts.map(takes))).toEqual([true, true, false]);
  });

  test.each<[ToolCallParserName, string, string]>([
    [
      'qwen3_coder',
      '<tool_call>\n<function=get_weather>\n<parameter=city>\nParis\n</parameter>\n</function>\n</tool_call>',
      '\n',
    ],
    [
      'glm45',
      '<tool_call>get_weather\n<arg_key>city</arg_key>\n<arg_value>Paris</arg_value>\n</tool_call>',
      '\n',
    ],
    ['olmo3', 'get_weather(city="Paris")', '\n'],
    ['pythonic', 'get_weather(city="Paris")', ', '],
    ['lfm2', 'get_weather(city="Paris")', ', '],
    ['granite', `{"name": "get_weather", "arguments": ${PARIS}}`, ', '],
    ['apertus', `{"get_weather": ${PARIS}}`, ', '],
    ['deepseek_v31', `<｜tool▁call▁begin｜>get_weather<｜tool▁sep｜>${PARIS}`, ''],
  ])("in %s's form", async (parser, call, separator) => {
    const { takes, parse } = plan(required, { parser });
    const { begin, end } = chooseFormat(parser, '')?.language ?? { begin: '', end: '' };
    const texts = [call, call + separator + call].map((calls) => begin + calls + end);
    expect(await Promise.all(texts.map(takes))).toEqual([true, true]);
    const read = parse(texts[1] ?? '').calls;
    expect(read.map(([name, text]): unknown => [name, JSON.parse(text)])).toEqual([
      ['get_weather', { city: 'Paris' }],
      ['get_weather', { city: 'Paris' }],
    ]);
    const wrong = [call.replace('city', 'town'), call.replace('get_weather', 'get_rain'), ''];
    const refused = await Promise.all(wrong.map((calls) => takes(begin + calls + end)));
    expect(refused).toEqual([false, false, false]);
  });

  test('arguments of a form without JSON: required ones, others or not, by their schemas', async () => {
    const parameters = {
      type: 'object',
      properties: {
        days: { type: 'integer' },
        city: { type: 'string' },
        unit: { enum: ['C', 'F'] },
        hourly: { type: 'boolean' },
      },
      required: ['city'],
    };
    const tools = [{ type: 'function', function: { name: 'f', parameters } }];
    const { takes } = plan({ tools, ...required }, { parser: 'pythonic' });
    const good = ['city="x"', 'city="x", days=3, unit="C", hourly=True', 'city="", hourly=False'];
    const bad = ['', 'days=3', 'city="x", unit="K"', 'city="x", hourly=true', 'city=x'];
    const answers = await Promise.all([...good, ...bad].map((args) => takes(`[f(${args})]`)));
    expect(answers).toEqual([...good.map(() => true), ...bad.map(() => false)]);
  });

  test('in the form of Gemma, which no grammar can hold, is refused', () => {
    const expected = /a forced choice, and strict functions, are not possible .*\(gemma4\)/;
    expect(() => plan(required, { parser: 'gemma4' })).toThrow(expected);
    expect(() => plan(strict, { parser: 'gemma4' })).toThrow(expected);
    expect(plan({}, { parser: 'gemma4' }).isFree).toBe(true);
  });

  test('special tokens around the name are in the prompt, where only one function is offered', () => {
    const model = withSpecialTokens(
      '<｜tool▁calls▁begin｜>',
      '<｜tool▁call▁begin｜>',
      '<｜tool▁sep｜>',
    );
    const form = { parser: 'deepseek_v31', model } as const;
    const beginning = 'P<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>';
    expect(plan(named, form).prompt).toBe(`${beginning}get_weather<｜tool▁sep｜>`);
    expect(plan(required, form).prompt).toBe(beginning);
  });

  test.each([
    ['', '[TOOL_CALLS]['],
    ['[TOOL_CALLS]', '['],
  ])("in Mistral's form, the marker %j being a special token", async (special, begin) => {
    const model = withSpecialTokens(special);
    const { takes, prompt, parse } = plan(required, { parser: 'mistral', model });
    expect(prompt).toBe(`P${special}`);
    const call = `{"name": "get_weather", "arguments": ${PARIS}}`;
    const text = `${begin}${call}, ${call}]`;
    expect(await takes(text)).toBe(true);
    expect(parse(text).calls).toHaveLength(2);
  });

  test('with a special token before every call, the first is in the prompt', async () => {
    const model = withSpecialTokens('<tool_call>', '</tool_call>');
    const { takes, prompt, parse } = plan(required, { model });
    expect(prompt).toBe('P<tool_call>');
    const first = HERMES_CALL.slice('<tool_call>'.length);
    expect(await takes(first)).toBe(true);
    expect(await takes(`${first}\n${HERMES_TIME}`)).toBe(true);
    expect(parse(`${first}\n${HERMES_TIME}`).calls.map(([name]) => name)).toEqual([
      'get_weather',
      'get_time',
    ]);
    expect(await plan(named, { model }).takes(`${first}\n${HERMES_TIME}`)).toBe(false);
  });
});

describe('strict tools with tool_choice auto', () => {
  test.each<[ToolCallParserName, string, string]>([
    ['hermes', HERMES_CALL, 'city'],
    ['llama3_json', LLAMA_CALL, 'city'],
    ['mistral', `[TOOL_CALLS][{"name": "get_weather", "arguments": ${PARIS}}]`, 'city'],
  ])('%s: text is free, calls are not', async (parser, call, key) => {
    const { takes } = plan(strict, { parser });
    expect(await takes('')).toBe(true);
    expect(await takes('Well, < and [ and { are free.')).toBe(true);
    expect(await takes(call)).toBe(true);
    expect(await takes(call.replace(key, 'town'))).toBe(false);
    expect(await takes(call.replace('get_weather', 'get_time').replace(key, 'town'))).toBe(true);
  });

  test('text may come before calls', async () => {
    const { takes } = plan(strict);
    expect(await takes(`Let me see.\n${HERMES_CALL}\n${HERMES_TIME}`)).toBe(true);
    expect(await takes(`Let me see.\n${HERMES_CALL.slice(0, 30)}`)).toBe(false);
  });

  test('are refused where calls begin with a special token', async () => {
    const model = withSpecialTokens('[TOOL_CALLS]');
    expect(() => plan(strict, { parser: 'mistral', model })).toThrow(
      /a strict function is not possible/,
    );
  });
});

describe('a response format', () => {
  const answer: GrammarSpec = { kind: 'choice', choices: ['yes', 'no'] };

  test('or a call of any function', async () => {
    const { takes } = plan({}, { answer });
    const texts = ['yes', 'maybe', HERMES_CALL, HERMES_CALL.replace('city', 'town'), ''];
    expect(await Promise.all(texts.map(takes))).toEqual([true, false, true, true, false]);
  });

  test('yields to a forced choice', async () => {
    const { takes } = plan(required, { answer });
    expect(await Promise.all(['yes', HERMES_CALL].map(takes))).toEqual([false, true]);
  });

  test('follows the reasoning', async () => {
    const none = { tool_choice: 'none' };
    const { takes } = plan(none, { answer, think: true, rendered: 'P<think>\n' });
    const texts = ['yes', 'Hm.</think>yes', 'Hm.\n</think>\n\nmaybe'];
    expect(await Promise.all(texts.map(takes))).toEqual([false, true, false]);
    const ebnf: GrammarSpec = { kind: 'ebnf', source: 'root ::= "yes"' };
    const closed = plan(none, { answer: ebnf, think: true, rendered: 'P<think>\n' });
    expect(closed.prompt).toBe('P<think>\n\n</think>\n\n');
    expect(await closed.takes('yes')).toBe(true);
  });

  test('is refused where it cannot stand beside calls', () => {
    const ebnf: GrammarSpec = { kind: 'ebnf', source: 'root ::= "yes"' };
    expect(() => plan({}, { answer: ebnf })).toThrow(/EBNF grammar cannot be combined with tools/);
    const options = {
      answer,
      parser: 'mistral',
      model: withSpecialTokens('[TOOL_CALLS]'),
    } as const;
    expect(() => plan({}, options)).toThrow(/a response format is not possible with tools/);
  });
});

describe('schemas that cannot be enforced', () => {
  const odd = {
    type: 'function',
    function: { name: 'odd', parameters: { properties: { a: { not: { type: 'string' } } } } },
  };
  const tools = [WEATHER, odd];

  test('are refused with the name of the function, where they would be enforced', () => {
    expect(() => plan({ tools, ...required })).toThrow(/^the function odd: .*"not".*$/);
    const choice = { type: 'function', function: { name: 'odd' } };
    expect(() => plan({ tools, tool_choice: choice })).toThrow(/^the function odd: /);
    const strictly = [{ ...odd, function: { ...odd.function, strict: true } }];
    expect(() => plan({ tools: strictly })).toThrow(/^the function odd: /);
  });

  test('all tools together have a limit, whether they are enforced or not', () => {
    const list = <T>(length: number, each: (index: number) => T): T[] =>
      Array.from({ length }, (_, index) => each(index));
    const many = (members: number) =>
      list(40, (i) => ({
        type: 'function',
        function: {
          name: `f${i}`,
          parameters: {
            type: 'object',
            properties: Object.fromEntries(list(members, (k) => [`p${k}`, { type: 'string' }])),
          },
        },
      }));
    expect(plan({ tools: many(100) }).isFree).toBe(true);
    expect(() => plan({ tools: many(130) })).toThrow(
      /^tools: more than 10000 JSON values together/,
    );
  });

  test('do not matter elsewhere', () => {
    expect(plan({ tools }).isFree).toBe(true);
    expect(plan({ tools, ...named }).isFree).toBe(false);
    const others = [{ ...WEATHER, function: { ...WEATHER.function, strict: true } }, odd];
    expect(plan({ tools: others }).isFree).toBe(false);
  });
});

describe('a forced choice and reasoning', () => {
  const open = { think: true, rendered: 'P<think>\n' };

  test('the model may think first', async () => {
    const { takes, prompt } = plan(named, { think: true });
    expect(prompt).toBe('P');
    expect(await takes(HERMES_CALL)).toBe(true);
    expect(await takes(`<think>\nParis < Rome\n</think>\n\n${HERMES_CALL}`)).toBe(true);
    expect(await takes(`Well.${HERMES_CALL}`)).toBe(false);
  });

  test('it ends the reasoning that the prompt has opened', async () => {
    const { takes, prompt } = plan(named, open);
    expect(prompt).toBe('P<think>\n');
    expect(await takes(`Paris\n</think>\n\n${HERMES_CALL}`)).toBe(true);
    expect(await takes(HERMES_CALL)).toBe(false);
  });

  test('where it could not end it, the prompt does', async () => {
    const model = withSpecialTokens('</think>');
    const { takes, prompt } = plan(named, { ...open, model });
    expect(prompt).toBe('P<think>\n\n</think>\n\n');
    expect(await takes(HERMES_CALL)).toBe(true);
  });
});

test('texts without a marker', async () => {
  const part = fc.constantFrom('<', 't', 'o', 'ol>', '<to', '<tool', '<tool>', 'x', '\n', '🐙');
  const text = fc.array(part, { maxLength: 10 }).map((parts) => parts.join(''));
  const regex = new RegExp(`^${textWithout('<tool>')}$`, 'u');
  fc.assert(
    fc.property(text, (written) => {
      expect(regex.test(written)).toBe(!written.includes('<tool>'));
    }),
    { numRuns: 2000, seed: 1 },
  );
});
