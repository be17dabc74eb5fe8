import { HERMES } from './hermes.js';
import { LLAMA3_JSON } from './llama3-json.js';
import { MISTRAL_LIST, MISTRAL_NAMED } from './mistral.js';
import type { ToolFormat } from './tool-format.js';

/** Values of `--tool-call-parser`. */
export const TOOL_CALL_PARSERS = ['auto', 'hermes', 'llama3_json', 'mistral', 'none'] as const;

export type ToolCallParserName = (typeof TOOL_CALL_PARSERS)[number];

/**
 * The format of a model's tool calls, recognized from the template, which must write the calls of
 * earlier turns.
 *
 * @param template source of the chat template; empty when there is none
 * @returns null when calls are not read: for `none`, or `auto` and a template of an unknown form
 */
export function chooseFormat(parser: ToolCallParserName, template: string): ToolFormat | null {
  switch (parser) {
    case 'none':
      return null;
    case 'hermes':
      return HERMES;
    case 'llama3_json':
      return LLAMA3_JSON;
    case 'mistral':
      return template.includes('[ARGS]') ? MISTRAL_NAMED : MISTRAL_LIST;
    case 'auto':
      return recognize(template);
  }
}

function recognize(template: string): ToolFormat | null {
  if (template.includes('[TOOL_CALLS]')) return chooseFormat('mistral', template);
  if (template.includes('<tool_call>')) {
    // Other forms use the same tag: Qwen 3 Coder's XML, GLM's pairs.
    const isJson = !template.includes('<function=') && !template.includes('<arg_key>');
    return isJson ? HERMES : null;
  }
  // Llama's templates describe the form to the model with these words.
  const isLlama = template.includes('<|start_header_id|>') && template.includes('"parameters"');
  return isLlama ? LLAMA3_JSON : null;
}
