import type { TObject } from 'typebox';
import { OctavoError } from '../../../engine/errors.js';

export type NeutralValues = Readonly<Record<string, (value: unknown) => boolean>>;

const isEmptyObject = (value: unknown): boolean =>
  typeof value === 'object' && value !== null && Object.keys(value).length === 0;

export const isEmptyList = (value: unknown): boolean => Array.isArray(value) && value.length === 0;

export const oneOf =
  (...values: unknown[]) =>
  (value: unknown): boolean =>
    values.includes(value);

export const never = (): boolean => false;

const isTextOnly = (value: unknown): boolean =>
  Array.isArray(value) && value.length === 1 && value[0] === 'text';

/**
 * Fields that clients know and that would change the answer, each with the values that ask for
 * nothing. Any other value is refused by endpoints whose schema does not have the field: an answer
 * that silently ignores a wish is a wrong answer.
 */
export const UNSUPPORTED_FIELDS: NeutralValues = {
  // OpenAI's
  logprobs: oneOf(false),
  top_logprobs: oneOf(0),
  tools: never,
  tool_choice: oneOf('none'),
  functions: never,
  function_call: oneOf('none'),
  guided_whitespace_pattern: never,
  best_of: oneOf(1),
  echo: oneOf(false),
  suffix: oneOf(''),
  modalities: isTextOnly,
  audio: never,
  prediction: never,
  reasoning_effort: oneOf('none'),
  web_search_options: never,
  // vLLM's
  use_beam_search: oneOf(false),
  logits_processors: never,
  truncate_prompt_tokens: never,
  thinking_token_budget: never,
  return_token_ids: oneOf(false),
  prompt_embeds: never,
  chat_template: never,
  chat_template_kwargs: isEmptyObject,
  add_generation_prompt: oneOf(true),
  continue_final_message: oneOf(false),
  documents: isEmptyList,
};

/**
 * @param schema of the endpoint: its own fields are its own affair
 * @param unsupported fields with the values that ask for nothing
 * @throws OctavoError `invalid_request` that names the first field that is asked for and not
 *   supported
 */
export function refuseUnsupported(
  body: object,
  schema: TObject,
  unsupported: NeutralValues = UNSUPPORTED_FIELDS,
): void {
  for (const [field, value] of Object.entries(body)) {
    if (value === null || !Object.hasOwn(unsupported, field)) continue;
    if (Object.hasOwn(schema.properties, field)) continue;
    if (!unsupported[field](value)) {
      throw new OctavoError('invalid_request', `${field} is not supported`, { param: field });
    }
  }
}
