import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { StructurePart } from '../../../engine/core/protocol.js';
import { MessageForms } from '../../../server/generation/message-form.js';
import type { ServedModel } from '../../../server/text/served-model.js';
import { textWithout } from '../../../server/text/text-without.js';
import type { ToolCallParserName } from '../../../server/tools/formats.js';
import { planTools } from '../../../server/tools/tool-plan.js';
import { byteModel } from '../../support/byte-model.js';
import { messageOf, parsePieces } from '../../support/tool-events.js';
import { TIME, toolModel, WEATHER } from '../../support/tool-model.js';

const escape = (text: string): string =>
  text.replaceAll(/[^a-z0-9]/gi, (char) => `\\u{${char.codePointAt(0)?.toString(16)}}`);

/** The structure as a regular expression; a schema is any object without nesting, its properties in the name. */
function regexOf(parts: readonly StructurePart[]): string {
  return parts
    .map((part): string => {
      switch (part.kind) {
        case 'literal':
          return escape(part.text);
        case 'regex':
          return `(?:${part.source})`;
        case 'json-object':
          return '\\{[^{}]*\\}';
        case 'json-schema':
          return `\\{${Object.keys((JSON.parse(part.source) as { properties: object }).properties)
            .map((key) => `"${key}":[^{},]*`)
            .join(',')}\\}`;
        case 'alternatives':
          return `(?:${part.of.map(regexOf).join('|')})`;
        case 'repeat': {
          const item = regexOf(part.parts);
          const more = part.max === null ? '*' : `{0,${part.max - 1}}`;
          return `(?:${item}(?:${escape(part.separator)}${item})${more})`;
        }
      }
    })
    .join('');
}

/** The byte model with special tokens. */
function withSpecialTokens(...tokens: string[]): ServedModel {
  const { tokenizer } = byteModel;
  return {
    ...toolModel,
    tokenizer: {
      encode: (text, options) => tokenizer.encode(text, options),
      createDetokenizer: (options) => tokenizer.createDetokenizer(options),
      bytesOf: (id) => tokenizer.bytesOf(id),
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
  /** Whether the grammar takes a text; null: there is none. */
  readonly takes: ((text: string) => boolean) | null;
  readonly parse: (text: string) => ReturnType<typeof messageOf>;
}

function plan(
  body: object,
  options: {
    readonly parser?: ToolCallParserName;
    readonly model?: ServedModel;
    readonly think?: boolean;
    readonly rendered?: string;
  } = {},
): Planned {
  const model = options.model ?? toolModel;
  const forms = new MessageForms(model, {
    toolCallParser: options.parser ?? 'hermes',
    reasoningParser: options.think === true ? 'think' : 'none',
  });
  const tools = planTools({ tools: [WEATHER, TIME], ...body }, model.chatTemplate, forms.tools);
  const { prompt, grammar, message } = forms.plan(options.rendered ?? 'P', tools);
  const parts = grammar?.kind === 'structure' ? grammar.parts : null;
  return {
    prompt,
    takes: parts && ((text) => new RegExp(`^(?:${regexOf(parts)})$`, 'u').test(text)),
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
  test('auto has no grammar, none is not read', () => {
    expect(plan({}).takes).toBeNull();
    expect(() => plan({ tool_choice: 'none' }).parse('')).toThrow(/not read/);
  });

  test('required: one call or more, of any tool', () => {
    const { takes, prompt } = plan(required);
    expect(prompt).toBe('P');
    const texts = ['', 'Well.', HERMES_CALL, HERMES_TIME, `${HERMES_TIME}\n${HERMES_CALL}`];
    expect(texts.map((text) => takes?.(text))).toEqual([false, false, true, true, true]);
  });

  test('named: exactly this one', () => {
    const { takes } = plan(named);
    const texts = [HERMES_CALL, HERMES_TIME, `${HERMES_CALL}\n${HERMES_CALL}`];
    expect(texts.map((text) => takes?.(text))).toEqual([true, false, false]);
  });

  test('parallel_tool_calls: false: one of any', () => {
    const { takes } = plan({ ...required, parallel_tool_calls: false });
    const texts = [HERMES_CALL, HERMES_TIME, `${HERMES_CALL}\n${HERMES_CALL}`];
    expect(texts.map((text) => takes?.(text))).toEqual([true, true, false]);
  });

  test('follows the schema of each tool', () => {
    const { takes } = plan(required);
    expect(takes?.(HERMES_CALL.replace('get_weather', 'get_time'))).toBe(false);
    expect(takes?.(HERMES_CALL.replace('city', 'town'))).toBe(false);
  });

  test("in Llama's form", () => {
    const { takes } = plan(required, { parser: 'llama3_json' });
    const texts = [LLAMA_CALL, `${LLAMA_CALL}; ${LLAMA_CALL}`, PARIS];
    expect(texts.map((text) => takes?.(text))).toEqual([true, true, false]);
  });

  test.each([
    ['', '[TOOL_CALLS]['],
    ['[TOOL_CALLS]', '['],
  ])("in Mistral's form, the marker %j being a special token", (special, begin) => {
    const model = withSpecialTokens(special);
    const { takes, prompt, parse } = plan(required, { parser: 'mistral', model });
    expect(prompt).toBe(`P${special}`);
    const call = `{"name": "get_weather", "arguments": ${PARIS}}`;
    const text = `${begin}${call}, ${call}]`;
    expect(takes?.(text)).toBe(true);
    expect(parse(text).calls).toHaveLength(2);
  });

  test('with a special token before every call, the first is in the prompt', () => {
    const model = withSpecialTokens('<tool_call>', '</tool_call>');
    const { takes, prompt, parse } = plan(required, { model });
    expect(prompt).toBe('P<tool_call>');
    const first = HERMES_CALL.slice('<tool_call>'.length);
    expect(takes?.(first)).toBe(true);
    expect(takes?.(`${first}\n${HERMES_TIME}`)).toBe(true);
    expect(parse(`${first}\n${HERMES_TIME}`).calls.map(([name]) => name)).toEqual([
      'get_weather',
      'get_time',
    ]);
    expect(plan(named, { model }).takes?.(`${first}\n${HERMES_TIME}`)).toBe(false);
  });
});

describe('strict tools with tool_choice auto', () => {
  test.each<[ToolCallParserName, string, string]>([
    ['hermes', HERMES_CALL, 'city'],
    ['llama3_json', LLAMA_CALL, 'city'],
    ['mistral', `[TOOL_CALLS][{"name": "get_weather", "arguments": ${PARIS}}]`, 'city'],
  ])('%s: text is free, calls are not', (parser, call, key) => {
    const { takes } = plan(strict, { parser });
    expect(takes?.('')).toBe(true);
    expect(takes?.('Well, < and [ and { are free.')).toBe(true);
    expect(takes?.(call)).toBe(true);
    expect(takes?.(call.replace(key, 'town'))).toBe(false);
    expect(takes?.(call.replace('get_weather', 'get_time').replace(key, 'town'))).toBe(true);
  });

  test('text may come before calls', () => {
    const { takes } = plan(strict);
    expect(takes?.(`Let me see.\n${HERMES_CALL}\n${HERMES_TIME}`)).toBe(true);
    expect(takes?.(`Let me see.\n${HERMES_CALL.slice(0, 30)}`)).toBe(false);
  });

  test('are refused where calls begin with a special token', () => {
    const model = withSpecialTokens('[TOOL_CALLS]');
    expect(() => plan(strict, { parser: 'mistral', model })).toThrow(
      /get_weather cannot be strict/,
    );
  });
});

describe('a forced choice and reasoning', () => {
  const open = { think: true, rendered: 'P<think>\n' };

  test('the model may think first', () => {
    const { takes, prompt } = plan(named, { think: true });
    expect(prompt).toBe('P');
    expect(takes?.(HERMES_CALL)).toBe(true);
    expect(takes?.(`<think>\nParis < Rome\n</think>\n\n${HERMES_CALL}`)).toBe(true);
    expect(takes?.(`Well.${HERMES_CALL}`)).toBe(false);
  });

  test('it ends the reasoning that the prompt has opened', () => {
    const { takes, prompt } = plan(named, open);
    expect(prompt).toBe('P<think>\n');
    expect(takes?.(`Paris\n</think>\n\n${HERMES_CALL}`)).toBe(true);
    expect(takes?.(HERMES_CALL)).toBe(false);
  });

  test('where it could not end it, the prompt does', () => {
    const model = withSpecialTokens('</think>');
    const { takes, prompt } = plan(named, { ...open, model });
    expect(prompt).toBe('P<think>\n\n</think>\n\n');
    expect(takes?.(HERMES_CALL)).toBe(true);
  });
});

test('texts without a marker', () => {
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
