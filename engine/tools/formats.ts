import { DEEPSEEK_V3, DEEPSEEK_V31 } from './deepseek.js';
import { FUNCTIONGEMMA, GEMMA4 } from './gemma-formats.js';
import { HARMONY } from './harmony.js';
import { HERMES } from './hermes.js';
import { APERTUS, GRANITE, PHI4_MINI_JSON } from './list-formats.js';
import { LLAMA3_JSON } from './llama3-json.js';
import { MISTRAL_LIST, MISTRAL_NAMED } from './mistral.js';
import { LFM2, OLMO3, PYTHONIC } from './python-formats.js';
import { GLM45, QWEN3_CODER } from './tagged-formats.js';
import type { ToolFormat } from './tool-format.js';

/** Formats of one form each; Mistral's has two. */
const FORMATS = {
  hermes: HERMES,
  llama3_json: LLAMA3_JSON,
  qwen3_coder: QWEN3_CODER,
  glm45: GLM45,
  granite: GRANITE,
  phi4_mini_json: PHI4_MINI_JSON,
  pythonic: PYTHONIC,
  lfm2: LFM2,
  olmo3: OLMO3,
  functiongemma: FUNCTIONGEMMA,
  gemma4: GEMMA4,
  deepseek_v3: DEEPSEEK_V3,
  deepseek_v31: DEEPSEEK_V31,
  apertus: APERTUS,
  openai: HARMONY,
} as const satisfies Readonly<Record<string, ToolFormat>>;

type FormatName = keyof typeof FORMATS;

const FORMAT_NAMES = Object.keys(FORMATS) as FormatName[];

/** Values of `--tool-call-parser`. */
export const TOOL_CALL_PARSERS = ['auto', ...FORMAT_NAMES, 'mistral', 'none'] as const;

export type ToolCallParserName = (typeof TOOL_CALL_PARSERS)[number];

/**
 * The format of a model's tool calls, recognized from the template, which must write the calls of
 * earlier turns, or describe them to the model.
 *
 * @param template source of the chat template; empty when there is none
 * @returns null when calls are not read: for `none`, or `auto` and a template of an unknown form
 */
export function chooseFormat(parser: ToolCallParserName, template: string): ToolFormat | null {
  if (parser === 'none') return null;
  if (parser === 'auto') return recognize(template);
  if (parser !== 'mistral') return FORMATS[parser];
  return template.includes('[ARGS]') ? MISTRAL_NAMED : MISTRAL_LIST;
}

/** Words of templates, all of which must occur, and the format that they tell; the first counts. */
const SIGNS: readonly (readonly [words: readonly string[], name: ToolCallParserName])[] = [
  [['<|channel|>', 'functions.'], 'openai'],
  [['[TOOL_CALLS]'], 'mistral'],
  [['<|tools_prefix|>'], 'apertus'],
  [['<｜tool▁calls▁begin｜>', '```json'], 'deepseek_v3'],
  [['<｜tool▁calls▁begin｜>'], 'deepseek_v31'],
  [['<|tool_list_start|>'], 'lfm2'],
  [['<|tool_call_start|>'], 'lfm2'],
  [['<start_function_call>'], 'functiongemma'],
  [['<|tool_call>'], 'gemma4'],
  [['<function_calls>'], 'olmo3'],
  [['<tool_call>', '<function='], 'qwen3_coder'],
  [['<tool_call>', '<arg_key>'], 'glm45'],
  [['<tool_call>'], 'hermes'],
  [['<|tool|>', '<|/tool|>'], 'phi4_mini_json'],
  [['<|tool_call|>', '<|start_of_role|>'], 'granite'],
  [['<|header_start|>', '<|python_start|>'], 'pythonic'],
  // Llama's templates describe the form to the model with these words.
  [['<|start_header_id|>', '"parameters"'], 'llama3_json'],
];

function recognize(template: string): ToolFormat | null {
  const sign = SIGNS.find(([words]) => words.every((word) => template.includes(word)));
  return sign ? chooseFormat(sign[1], template) : null;
}
